"""The API server of one cluster: discovery, listing, server-side apply. Through the official client, whose transport and logins it uses.

Knows nothing of backups. Raises StoreError when the server cannot be reached or asked; `Refusal` is the server's answer to one object.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

import yaml
from kubernetes import client, config, dynamic
from kubernetes.client import ApiException
from kubernetes.config import ConfigException
from urllib3.exceptions import HTTPError

from drplatform.model import clock as clocks
from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.stores.kubernetes.difference import redacted
from drplatform.stores.kubernetes.resource import Document, Resource

FIELD_MANAGER = "drplatform-restore"
IN_CLUSTER = "in-cluster"
"""Stands for the context where the service account of a pod is used."""
PAGE = 500
_DYNAMIC: Any = dynamic.DynamicClient
_CONFIG: Any = config  # without types in some of its versions
METRICS = "metrics.k8s.io"
"""APIs of measurements hold no objects, and are often away."""
TIMEOUT = (5, 60)
BUSY_WITHIN = 20.0
"""Seconds: to connect and to answer; and how long a busy server is asked again."""
_EXPIRED, _NOT_FOUND, _BUSY = 410, 404, (429, 503, 504)
_LATER = (
    "try again",
    "status unknown for quota",
    "being terminated",
    "connection refused",
    "not yet established",
    "failed calling webhook",
)


@dataclass(frozen=True)
class Type:
    """A kind of object that the server stores."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    status_apart: bool

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "") -> str:
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        place = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        return f"{root}{place}/{self.plural}" + (f"/{quote(name, safe='')}" if name else "")


@dataclass(frozen=True)
class Types:
    """The kinds of a cluster, each with its versions, the preferred one first."""

    by_kind: Mapping[tuple[str, str], tuple[Type, ...]]

    def preferred(self) -> Iterator[Type]:
        return (versions[0] for versions in self.by_kind.values())

    def of(self, resource: Resource) -> Type | None:
        """The kind in the version of the object, else in the preferred one; None when the cluster does not have it."""
        versions = self.by_kind.get((resource.group, resource.kind), ())
        return next((v for v in versions if v.api_version == resource.api_version), versions[0] if versions else None)


@dataclass(frozen=True)
class Refusal:
    """That the server did not take an object, and why, without the object's own hidden texts. `later`: it may take it another time."""

    why: str
    later: bool


class _NoDiscovery:
    """The client's own discovery keeps a file in a shared directory, and fails as a whole when one API is away."""

    def __init__(self, client: object, cache_file: object) -> None:
        pass


class Cluster:
    """A cluster by a kubeconfig file and a context of it; neither: the service account of the pod that this runs in. Safe for several threads."""

    def __init__(self, kubeconfig: str, context: str, clock: Clock) -> None:
        self._kubeconfig, self._context, self._clock = kubeconfig, context, clock
        self._lock = threading.Lock()
        self._client: Any = None

    def get(self, path: str, **query: str | int) -> Document:
        """Asks again for a while when the server is busy. Raises StoreError, or Missing for what is not there."""
        ask = partial(self._request, "get", path, query)
        try:
            return ask()
        except Busy as error:
            with suppress(errors.DeadlineExceeded):
                return clocks.wait_for(self._clock, path, ask, within=BUSY_WITHIN, every=0.5, ignoring=(Busy,), until=lambda found: True)
            raise errors.StoreError(f"{error} It has been asked for {BUSY_WITHIN:g} s.") from None

    def exists(self, type_: Type, resource: Resource) -> Document | None:
        """The object of this name as it is now."""
        try:
            return self.get(type_.path(resource.key.namespace, resource.key.name))
        except Missing:
            return None

    def items(self, type_: Type, namespace: str = "", labels: str = "") -> Iterator[Document]:
        """All objects of the kind, in pages that belong to one moment. Raises StoreError; Expired when that moment was given up meanwhile."""
        query: dict[str, str | int] = {"limit": PAGE} | ({"labelSelector": labels} if labels else {})
        while True:
            page = self.get(type_.path(namespace), **query)
            for item in page.get("items") or []:
                yield {"apiVersion": type_.api_version, "kind": type_.kind, **item}
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return
            query["continue"] = token

    def apply(self, type_: Type, resource: Resource, *, force: bool, dry_run: bool = False) -> Document | Refusal:
        """Server-side apply. `force` takes fields that others manage."""
        key = resource.key
        query: dict[str, str | int] = {"fieldManager": FIELD_MANAGER, "force": str(force).lower(), "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        body = {**resource.document, "apiVersion": type_.api_version}
        try:
            return self._send("patch", type_.path(key.namespace, key.name), query, body)
        except ApiException as error:
            return _refusal(error, resource)

    def create(self, type_: Type, resource: Resource) -> Document | Refusal:
        """For objects that server-side apply cannot take: lists with equal keys, which older clients could write."""
        body = {**resource.document, "apiVersion": type_.api_version}
        try:
            return self._send("post", type_.path(resource.key.namespace), {"fieldManager": FIELD_MANAGER}, body)
        except ApiException as error:
            return _refusal(error, resource)

    def delete(self, type_: Type, resource: Resource) -> None:
        self._request("delete", type_.path(resource.key.namespace, resource.key.name), {"propagationPolicy": "Background"})

    def text(self, path: str) -> str:
        """What a page such as /readyz says, also when it says no. Raises StoreError when nothing answers."""
        try:
            return bytes(self._raw("get", path, {}, None, accept="text/plain,*/*").data).decode()
        except ApiException as error:
            return f"{error.status}: {_words(error)}"

    # -- discovery ------------------------------------------------------------------------------------------------------------

    def types(self) -> "Types":
        """Every kind that can be listed and made. Raises StoreError when an API does not answer: its objects would silently be missing."""
        found: dict[tuple[str, str], list[Type]] = {}
        silent = []
        for group, version in self._versions():
            try:
                listed = self.get(f"/apis/{group}/{version}" if group else f"/api/{version}")
            except Missing:  # its last definition went meanwhile
                continue
            except errors.StoreError as error:
                silent.append(f"{group}/{version} ({error})")
                continue
            for type_ in _types(group, version, listed):
                found.setdefault((group, type_.kind), []).append(type_)
        if silent:
            raise errors.StoreError(f"Not every API of the cluster answers; mend or remove these: {'; '.join(silent)}")
        return Types({kind: tuple(types) for kind, types in found.items()})

    def _versions(self) -> Iterator[tuple[str, str]]:
        """Group and version, the preferred version of a group first."""
        for version in self.get("/api").get("versions") or ["v1"]:
            yield "", version
        for group in self.get("/apis").get("groups") or []:
            if group["name"].endswith(METRICS):
                continue
            preferred = (group.get("preferredVersion") or {}).get("version")
            versions = [v["version"] for v in group.get("versions") or []]
            for version in sorted(versions, key=lambda v: v != preferred):
                yield group["name"], version

    # -- transport ------------------------------------------------------------------------------------------------------------

    def _request(self, method: str, path: str, query: Mapping[str, str | int]) -> Document:
        try:
            return self._send(method, path, query, None)
        except ApiException as error:
            if error.status == _NOT_FOUND:
                raise Missing(f"The cluster has nothing at {path}.") from None
            if error.status == _EXPIRED:
                raise Expired(f"The cluster gave up the moment that {path} was read at; read it again.") from None
            kind = Busy if error.status in _BUSY else errors.StoreError
            raise kind(f"The cluster refused to {method} {path}: {error.status} {_words(error)}.") from None

    def _send(self, method: str, path: str, query: Mapping[str, str | int], body: object) -> Document:
        found: Document = json.loads(self._raw(method, path, query, body).data)
        return found

    def _raw(self, method: str, path: str, query: Mapping[str, str | int], body: object, accept: str = "application/json") -> Any:
        """Errors of the client carry requests and answers: none of them is chained."""
        ask = partial(self._connected().request, method, path, body, serialize=False, query_params=list(query.items()))
        content = "application/apply-patch+yaml" if method == "patch" else "application/json"
        try:
            return ask(header_params={"Accept": accept}, content_type=content, _request_timeout=TIMEOUT)
        except (HTTPError, OSError) as error:
            raise errors.StoreError(
                f"The API server of the cluster does not answer ({type(error).__name__}); check the kubeconfig, and that it runs."
            ) from None

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = _DYNAMIC(_login(self._kubeconfig, self._context), discoverer=_NoDiscovery)
            return self._client

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.client.rest_client.pool_manager.clear()
            self._client = None


class Missing(errors.StoreError):
    """The cluster has no such object, or no such kind."""


class Busy(errors.StoreError):
    """The cluster, or an API behind it, cannot answer now."""


class Expired(errors.StoreError):
    """A list took longer than the server keeps the moment that it began at."""


def place(kubeconfig: str, context: str) -> tuple[str, str]:
    """The name of the context that would be used, and the host of its API server; nothing is asked of it. Raises SettingsError."""
    host = urlsplit(_login(kubeconfig, context).configuration.host).hostname or ""
    if not kubeconfig and not context:
        return IN_CLUSTER, host
    return context or str(_CONFIG.list_kube_config_contexts(kubeconfig or None)[1]["name"]), host


def _login(kubeconfig: str, context: str) -> Any:
    made = client.Configuration()
    try:
        if kubeconfig or context:
            _CONFIG.load_kube_config(kubeconfig or None, context or None, client_configuration=made, persist_config=False)
        else:
            _CONFIG.load_incluster_config(client_configuration=made)
    except (ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        where = kubeconfig or "the pod's service account"
        raise errors.SettingsError(
            f"{where} does not lead to a cluster ({type(error).__name__}); name a kubeconfig and a context."
        ) from None
    return client.ApiClient(made)


def _types(group: str, version: str, listed: Mapping[str, Any]) -> Iterator[Type]:
    resources = listed.get("resources") or []
    with_status = {r["name"].partition("/")[0] for r in resources if r["name"].endswith("/status")}
    for found in resources:
        verbs = set(found.get("verbs") or [])
        if "/" not in found["name"] and {"list", "get", "create", "patch"} <= verbs:
            yield Type(group, version, found["kind"], found["name"], bool(found["namespaced"]), found["name"] in with_status)


def _refusal(error: ApiException, resource: Resource) -> Refusal:
    words = redacted(_words(error), resource.document)
    later = error.status in _BUSY or error.status == _NOT_FOUND or any(hint in words for hint in _LATER)
    return Refusal(f"{error.status} {words}", later)


def _words(error: ApiException) -> str:
    """What the server says in its Status object."""
    try:
        return str(json.loads(error.body or "").get("message") or error.reason)
    except (ValueError, AttributeError):
        return str(error.reason)
