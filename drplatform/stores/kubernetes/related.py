"""What belongs to the cluster as a whole, but is needed by the objects of a namespace: they would not come back without it. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from drplatform.stores.kubernetes.resource import Resource

_RBAC = "rbac.authorization.k8s.io"
DEFINITION = ("apiextensions.k8s.io", "CustomResourceDefinition")
ROLE, BINDING, VOLUME = (_RBAC, "ClusterRole"), (_RBAC, "ClusterRoleBinding"), ("", "PersistentVolume")
_BY_FIELD = {
    "priorityClassName": ("scheduling.k8s.io", "PriorityClass"),
    "runtimeClassName": ("node.k8s.io", "RuntimeClass"),
    "storageClassName": ("storage.k8s.io", "StorageClass"),
    "ingressClassName": ("networking.k8s.io", "IngressClass"),
    "gatewayClassName": ("gateway.networking.k8s.io", "GatewayClass"),
    "volumeName": VOLUME,
}
KINDS = frozenset({DEFINITION, ROLE, BINDING, *_BY_FIELD.values()})


class Name(NamedTuple):
    """An object of the cluster as a whole."""

    group: str
    kind: str
    name: str


def needed(resources: Iterable[Resource]) -> set[Name]:
    """The names of what the namespaced objects among these need, of KINDS; bindings of their accounts are found by asking the bindings."""
    everything = list(resources)
    namespaced = [r for r in everything if r.key.namespace]
    kinds = {(r.group, r.kind) for r in namespaced}
    spaces = {r.key.namespace for r in namespaced}
    found = {Name(*DEFINITION, r.key.name) for r in everything if (r.group, r.kind) == DEFINITION and defines(r) in kinds}
    bindings = [r for r in everything if (r.group, r.kind) == BINDING and spaces & set(_subject_spaces(r))]
    found |= {Name(*BINDING, r.key.name) for r in bindings}
    roles = [r.document.get("roleRef") or {} for r in (*bindings, *namespaced)]
    found |= {Name(*ROLE, str(role.get("name"))) for role in roles if role.get("kind") == "ClusterRole"}
    return found | {Name(*_BY_FIELD[field], value) for r in namespaced for field, value in _named(r.document)}


def defines(definition: Resource) -> tuple[str, str]:
    """Group and kind of the custom objects that a definition is of."""
    spec = definition.document.get("spec") or {}
    return str(spec.get("group", "")), str((spec.get("names") or {}).get("kind", ""))


def _subject_spaces(binding: Resource) -> Iterator[str]:
    return (str(subject.get("namespace", "")) for subject in binding.document.get("subjects") or [])


def _named(value: Any) -> Iterator[tuple[str, str]]:
    """Every field of _BY_FIELD in a document, with its value."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name in _BY_FIELD and isinstance(inner, str):
                yield name, inner
            else:
                yield from _named(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _named(inner)
