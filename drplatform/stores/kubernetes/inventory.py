"""Everything of a cluster that was asked for, cleaned: the one reading that dumps, digests, drift and checks share."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from drplatform.stores.kubernetes import related
from drplatform.stores.kubernetes.api import Cluster, Expired, Missing, Type
from drplatform.stores.kubernetes.cleaning import clean
from drplatform.stores.kubernetes.related import Name
from drplatform.stores.kubernetes.resource import Document, Resource
from drplatform.stores.kubernetes.selection import Selection

_ATTEMPTS = 3


@dataclass(frozen=True)
class Found:
    """An object's configuration, and which field managers have written it."""

    resource: Resource
    managers: frozenset[str] = field(default=frozenset())


def read(cluster: Cluster, chosen: Selection, wanted: frozenset[str] = frozenset()) -> list[Found]:
    """The chosen objects of the wanted sections (none named: all), each once, although several APIs may show it.

    Raises StoreError when an API does not answer: what cannot be listed would silently be missing from a backup.
    """
    found, seen, going = list[Found](), set[str](), _going(cluster)
    for type_ in (t for t in cluster.types().preferred() if chosen.wants_kind(t.group, t.kind)):
        for document in _listed(cluster, type_, chosen):
            uid = (document.get("metadata") or {}).get("uid", "")
            if uid not in seen and document["metadata"].get("namespace") not in going and chosen.wants(Resource(document)):
                seen.add(uid)
                found.append(_found(type_, document))
    found = _only_needed(_without_managed_endpoints(found), chosen)
    return sorted((f for f in found if not wanted or f.resource.section in wanted), key=lambda f: f.resource.key)


def _going(cluster: Cluster) -> set[str]:
    """Namespaces that are being deleted: what is still in them goes too."""
    listed = cluster.get("/api/v1/namespaces").get("items") or []
    return {one["metadata"]["name"] for one in listed if "deletionTimestamp" in one["metadata"]}


def _found(type_: Type, document: Document) -> Found:
    managers = frozenset(m.get("manager", "") for m in (document.get("metadata") or {}).get("managedFields") or [])
    return Found(configuration(type_, document), managers)


def configuration(type_: Type, document: Document) -> Resource:
    """What of an object of this kind is configuration."""
    return clean(document, type_.status_apart or not is_custom(type_.group))


def is_custom(group: str) -> bool:
    """Whether a kind of this group may keep what it means in its status: one that Kubernetes itself does not have."""
    return "." in group and not group.endswith(".k8s.io")


def _listed(cluster: Cluster, type_: Type, chosen: Selection) -> list[Document]:
    """Each list whole and of one moment."""
    labels = "" if (type_.group, type_.kind) in _UNLABELLED else chosen.labels
    for attempt in range(_ATTEMPTS):
        try:
            return [item for place in _places(type_, chosen) for item in cluster.items(type_, place, labels)]
        except Missing:  # its definition went meanwhile, and all objects with it
            return []
        except Expired:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


_UNLABELLED = frozenset({("apiextensions.k8s.io", "CustomResourceDefinition"), ("", "Namespace")})
"""Needed by what is chosen by a label, though they do not bear it."""


def _places(type_: Type, chosen: Selection) -> Iterator[str]:
    if type_.namespaced and chosen.namespaces:
        yield from sorted(chosen.namespaces)
    else:
        yield ""


def _without_managed_endpoints(found: list[Found]) -> list[Found]:
    """The endpoints of a service with a selector are its controller's, in older versions without saying so."""
    led = {(r.key.namespace, r.key.name) for r in (f.resource for f in found) if r.kind == "Service" and _selects(r)}
    return [f for f in found if not (f.resource.kind == "Endpoints" and (f.resource.key.namespace, f.resource.key.name) in led)]


def _selects(service: Resource) -> bool:
    return bool((service.document.get("spec") or {}).get("selector"))


def _only_needed(found: list[Found], chosen: Selection) -> list[Found]:
    """With namespaces or labels chosen: of the cluster as a whole only what the chosen objects need."""
    if not chosen.namespaces and not chosen.labels:
        return found
    resources = [f.resource for f in found]
    names = related.needed(resources)
    spaces = {r.key.namespace for r in resources} | chosen.namespaces
    checked = related.KINDS if chosen.namespaces else {related.DEFINITION}
    return [f for f in found if _is_needed(f.resource, names, spaces, checked)]


def _is_needed(resource: Resource, names: set[Name], spaces: set[str], checked: AbstractSet[tuple[str, str]]) -> bool:
    kind = (resource.group, resource.kind)
    if kind in checked:
        return Name(*kind, resource.key.name) in names
    return kind != ("", "Namespace") or resource.key.name in spaces
