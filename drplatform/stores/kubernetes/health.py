"""Whether a cluster is fit for service, asked of the cluster itself: its API, nodes, system pods, name service and storage classes."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from drplatform.stores.kubernetes.api import Cluster, Missing
from drplatform.stores.kubernetes.resource import Document

SYSTEM = "kube-system"
DNS_SERVICES = ("kube-dns", "coredns", "rke2-coredns-rke2-coredns")
_DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")


def defects(cluster: Cluster) -> list[str]:
    """What is wrong, in words; empty is good. Raises StoreError when the API server does not answer at all."""
    return [*_api(cluster), *_nodes(cluster), *_system_pods(cluster), *_names(cluster), *_storage(cluster)]


def _api(cluster: Cluster) -> Iterator[str]:
    answer = cluster.text("/readyz")
    if answer.strip() != "ok":
        yield f"The API server is not ready: {answer.strip()[:200]}"
    for service in _listed(cluster, "/apis/apiregistration.k8s.io/v1/apiservices"):
        if not _is_true(service, "Available"):
            yield f"The API {service['metadata']['name']} is not available"


def _nodes(cluster: Cluster) -> Iterator[str]:
    nodes = _listed(cluster, "/api/v1/nodes")
    if not nodes:
        yield "There is no node"
    for node in nodes:
        name = node["metadata"]["name"]
        if not _is_true(node, "Ready"):
            yield f"Node {name} is not ready"
        for pressure in ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable"):
            if _is_true(node, pressure):
                yield f"Node {name} has {pressure}"


def _system_pods(cluster: Cluster) -> Iterator[str]:
    for pod in _listed(cluster, f"/api/v1/namespaces/{SYSTEM}/pods"):
        phase = (pod.get("status") or {}).get("phase")
        if phase != "Succeeded" and not _is_true(pod, "Ready"):
            yield f"System pod {pod['metadata']['name']} is not ready ({phase})"


def _names(cluster: Cluster) -> Iterator[str]:
    """Whether the name service has something behind it."""
    names = {s["metadata"]["name"] for s in _listed(cluster, f"/api/v1/namespaces/{SYSTEM}/services")}
    present = [name for name in DNS_SERVICES if name in names]
    if not present:
        yield f"There is no name service in {SYSTEM}"
    for name in present:
        slices = _listed(cluster, f"/apis/discovery.k8s.io/v1/namespaces/{SYSTEM}/endpointslices", f"kubernetes.io/service-name={name}")
        if not any(_serves(endpoint) for one in slices for endpoint in one.get("endpoints") or []):
            yield f"No pod is behind the name service {name}"


def _serves(endpoint: Mapping[str, Any]) -> bool:
    return (endpoint.get("conditions") or {}).get("ready", True) is not False


def _storage(cluster: Cluster) -> Iterator[str]:
    classes = _listed(cluster, "/apis/storage.k8s.io/v1/storageclasses")
    defaults = [c["metadata"]["name"] for c in classes if _is_default(c)]
    if not classes:
        yield "There is no storage class"
    elif len(defaults) != 1:
        yield f"There should be one default storage class, not {len(defaults)}"


def _is_default(storage_class: Document) -> bool:
    annotations = storage_class["metadata"].get("annotations") or {}
    return any(annotations.get(name) == "true" for name in _DEFAULT_CLASS)


def _listed(cluster: Cluster, path: str, labels: str = "") -> list[Document]:
    query = {"labelSelector": labels} if labels else {}
    try:
        found: Iterable[Document] = cluster.get(path, **query).get("items") or []
    except Missing:
        return []
    return list(found)


def _is_true(found: Document, condition: str) -> bool:
    conditions = (found.get("status") or {}).get("conditions") or []
    return any(c.get("type") == condition and c.get("status") == "True" for c in conditions)
