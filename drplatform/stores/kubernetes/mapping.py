"""Namespace mapping: the objects of one namespace brought into another one, with everything in them that names it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.model import errors
from drplatform.stores.kubernetes.cleaning import LAST_APPLIED
from drplatform.stores.kubernetes.resource import Document, Resource

_NAME_LABEL = "kubernetes.io/metadata.name"
_OPAQUE = ("data", "stringData", "binaryData", "annotations", "labels", "env")
"""What is text to Kubernetes: a namespace named in there (in a connection string, say) stays as it is."""


@dataclass(frozen=True)
class NamespaceMapping:
    """Old namespace -> new one, for a restore beside the original."""

    names: Mapping[str, str]

    @classmethod
    def read(cls, text: str) -> "NamespaceMapping":
        """From `old=new,other=another`. Raises SettingsError."""
        pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
        names = {old.strip(): new.strip() for old, _, new in pairs}
        if not all(names) or not all(names.values()) or len(set(names.values())) != len(pairs):
            raise errors.SettingsError(f"A mapping of namespaces is written old=new,other=another, not {text!r}.")
        return cls(names)

    def place(self, namespace: str) -> str:
        return self.names.get(namespace, namespace)

    def map(self, resource: Resource) -> Resource:
        """The object in its new place: its own namespace, and those in its references to others."""
        if not self.names:
            return resource
        found: Document = self._mapped(dict(resource.document))
        metadata = dict(found.get("metadata") or {})
        if resource.kind == "Namespace" and not resource.group:
            metadata["name"] = self.place(str(metadata.get("name", "")))
        annotations = {n: v for n, v in (metadata.pop("annotations", None) or {}).items() if n != LAST_APPLIED}
        found["metadata"] = metadata | ({"annotations": annotations} if annotations else {})
        return Resource(found)

    def _mapped(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: inner if key in _OPAQUE else self._mapped(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._mapped(inner) for inner in value]
        return self.place(value) if name in ("namespace", _NAME_LABEL) and isinstance(value, str) else value
