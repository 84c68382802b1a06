"""Public names as Services of a Kubernetes cluster: a Service without a selector, whose EndpointSlice says where it leads.

Clients in the cluster use `<name>.<namespace>.svc`; a change reaches them within a second or two, whatever they remember of names, since
the Service's own address stays. Both objects carry our label, and nothing without it is touched.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import urllib3.exceptions
from kubernetes import client as k8s
from kubernetes import config as k8s_config

from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.model.ports import Address, Answer, NameServer

MANAGER = "drplatform"
LABEL = {"app.kubernetes.io/managed-by": MANAGER}
_TIMEOUT = (5, 10)
SECONDS_TO_SPREAD = 2.0
"""How long nodes may take to have a changed slice."""


def connect(server: NameServer, clock: Clock) -> "Services":
    """`zone` is the namespace. Options: `kubeconfig`, `context`; without, the account of the pod that we run in. Raises SettingsError."""
    try:
        if "kubeconfig" in server.options:
            api = k8s_config.new_client_from_config(server.options["kubeconfig"], server.options.get("context"))  # type: ignore[no-untyped-call]
        else:
            k8s_config.load_incluster_config()  # type: ignore[no-untyped-call]
            api = k8s.ApiClient()
    except (k8s_config.ConfigException, OSError) as error:
        raise errors.SettingsError(f"The cluster of the public names is not known ({error}); name a kubeconfig.") from error
    return Services(server, api)


class Services:
    """ports.Traffic."""

    def __init__(self, server: NameServer, api: k8s.ApiClient) -> None:
        self.ttl = SECONDS_TO_SPREAD
        self._namespace, self._api = server.zone.rstrip("."), api
        self._core, self._discovery = k8s.CoreV1Api(api), k8s.DiscoveryV1Api(api)

    def point(self, name: str, to: tuple[Address, ...]) -> None:
        if not to or len({a.port for a in to}) != 1:
            raise errors.StoreError(f"The Service {name} must lead to at least one address, all of the same port.")
        with _doing(f"change the Service {name}"):
            self._make_service(name, to[0].port)
            self._make_slice(name, to)
        if set(self.lookup(name).addresses) != set(to):
            raise errors.StoreError(f"The cluster took the change of {name}, but shows another; does somebody else change it, too?")

    def lookup(self, name: str, timeout: float = 1.0) -> Answer:
        with _doing(f"find the Service {name}"):
            found = self._discovery.read_namespaced_endpoint_slice(f"{name}-{MANAGER}", self._namespace, _request_timeout=_TIMEOUT)
        hosts = [host for endpoint in found.endpoints or () for host in endpoint.addresses]
        ports = [port.port for port in found.ports or () if port.port is not None]
        if not hosts or not ports:
            raise errors.StoreError(f"The Service {name} leads nowhere; set it again.")
        return Answer(tuple(Address(host, ports[0]) for host in hosts), self.ttl)

    def close(self) -> None:
        self._api.close()  # type: ignore[no-untyped-call]

    def _make_service(self, name: str, port: int) -> None:
        """A Service of somebody else is not taken over."""
        ports = [{"name": "main", "port": port, "targetPort": port, "protocol": "TCP"}]
        metadata: dict[str, Any] = {"name": name, "namespace": self._namespace, "labels": LABEL}
        body: Any = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": ports}}
        found = self._found(self._core.read_namespaced_service, name)
        if found is None:
            self._core.create_namespaced_service(self._namespace, body, _request_timeout=_TIMEOUT)
            return
        if not LABEL.items() <= (found.metadata.labels or {}).items() or found.spec.selector:
            raise errors.StoreError(f"The Service {name} in {self._namespace} is not ours, or has a selector; name another.")
        found.spec.ports = ports
        self._core.replace_namespaced_service(name, self._namespace, found, _request_timeout=_TIMEOUT)

    def _make_slice(self, name: str, to: tuple[Address, ...]) -> None:
        body: Any = self._slice(name, to)
        found = self._found(self._discovery.read_namespaced_endpoint_slice, body["metadata"]["name"])
        if found is None:
            self._discovery.create_namespaced_endpoint_slice(self._namespace, body, _request_timeout=_TIMEOUT)
            return
        body["metadata"]["resourceVersion"] = found.metadata.resource_version
        self._discovery.replace_namespaced_endpoint_slice(body["metadata"]["name"], self._namespace, body, _request_timeout=_TIMEOUT)

    def _found(self, read: Callable[..., Any], name: str) -> Any:
        """None when there is none."""
        try:
            return read(name, self._namespace, _request_timeout=_TIMEOUT)
        except k8s.ApiException as error:
            if error.status == 404:
                return None
            raise

    def _slice(self, name: str, to: tuple[Address, ...]) -> dict[str, Any]:
        labels = {**LABEL, "kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": MANAGER}
        metadata = {"name": f"{name}-{MANAGER}", "namespace": self._namespace, "labels": labels}
        endpoints = [{"addresses": [address.host], "conditions": {"ready": True}} for address in to]
        ports = [{"name": "main", "port": to[0].port, "protocol": "TCP"}]
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": metadata,
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": ports,
        }


@contextmanager
def _doing(what: str) -> Iterator[None]:
    try:
        yield
    except k8s.ApiException as error:
        raise errors.StoreError(
            f"The cluster refused to {what} ({error.status} {error.reason}); does the namespace exist, and may we?"
        ) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise errors.StoreError(f"The cluster could not {what} ({type(error).__name__}); is it up?") from error
