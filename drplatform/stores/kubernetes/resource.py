"""One object of a cluster as a value: what names it, which section it belongs to, its byte forms in a dump and in a digest.

Knows nothing of servers. A part of a dump is blocks of whole lines of JSON: a head, {"format": 1, "position": ...}, then an object a line.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from drplatform.model import errors
from drplatform.model.backup import Digest, Multiset
from drplatform.model.ports import BLOCK_BYTES
from drplatform.model.position import Position

FORMAT = 1
SECTIONS = ("manifests", "environment", "secrets")
Document = dict[str, Any]


class Key(NamedTuple):
    """What names an object, whatever version of the API it is read through. `namespace` is empty for what belongs to the cluster."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        kind = f"{self.kind}.{self.group}" if self.group else self.kind
        return f"{kind} {self.namespace}/{self.name}" if self.namespace else f"{kind} {self.name}"


@dataclass(frozen=True)
class Resource:
    """An object as the API gives it. Its content never shows in its repr."""

    document: Mapping[str, Any] = field(repr=False)

    @property
    def key(self) -> Key:
        metadata = self.metadata
        return Key(self.group, self.kind, str(metadata.get("namespace", "")), str(metadata.get("name", "")))

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self.document.get("metadata") or {}

    @property
    def api_version(self) -> str:
        return str(self.document.get("apiVersion", ""))

    @property
    def group(self) -> str:
        group, slash, _ = self.api_version.rpartition("/")
        return group if slash else ""

    @property
    def kind(self) -> str:
        return str(self.document.get("kind", ""))

    @property
    def section(self) -> str:
        return section(self.group, self.kind)

    def canonical(self) -> bytes:
        """The byte form of what a restore must bring back: the same for the same content, however it was read."""
        return json.dumps(self.document, sort_keys=True, separators=(",", ":")).encode()


def section(group: str, kind: str) -> str:
    """Secrets are apart, so that they can have recipients of their own; so are configuration values."""
    return {("", "Secret"): "secrets", ("", "ConfigMap"): "environment"}.get((group, kind), "manifests")


def blocks(position: Position, resources: Iterable[Resource]) -> Iterator[bytes]:
    """Blocks of about ports.BLOCK_BYTES; an object is never cut."""
    held = bytearray(_line({"format": FORMAT, "position": position.to_json()}))
    for resource in resources:
        line = resource.canonical() + b"\n"
        if len(held) + len(line) > BLOCK_BYTES:
            yield bytes(held)
            held.clear()
        held += line
    yield bytes(held)


def read(part: str, blocks: Iterable[bytes]) -> tuple[Position, list[Resource]]:
    """Back again. Raises IntegrityError when the part is not of this format, or holds what belongs into another section."""
    lines = [line for block in blocks for line in block.splitlines()]
    head = _document(part, lines[0]) if lines else {}
    if head.get("format") != FORMAT:
        raise _damaged(part, f"it has the format {head.get('format')!r}, not {FORMAT}")
    try:
        position = Position.from_json(head["position"])
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(part, "it has no position") from error
    return position, [_resource(part, line) for line in lines[1:]]


class Tally:
    """Digests by section. Not for several threads."""

    def __init__(self) -> None:
        self._found = {name: Multiset() for name in SECTIONS}

    def add(self, resources: Iterable[Resource]) -> "Tally":
        for resource in resources:
            self._found[resource.section].add(resource.canonical())
        return self

    def digests(self) -> dict[str, Digest]:
        """Of the sections that hold something."""
        return {name: digest for name, items in self._found.items() if (digest := items.digest()).items}

    def counts(self) -> dict[str, int]:
        return {name: digest.items for name, digest in self.digests().items()}


def fingerprint(resource: Resource) -> str:
    return hashlib.sha256(resource.canonical()).hexdigest()


def _resource(part: str, line: bytes) -> Resource:
    resource = Resource(_document(part, line))
    if not resource.kind or not resource.api_version or not resource.key.name:
        raise _damaged(part, "an object has no kind, version or name")
    if resource.section != part.partition("/")[0]:
        raise _damaged(part, f"it holds {resource.key}, which belongs into another section")
    return resource


def _document(part: str, line: bytes) -> Document:
    try:
        found = json.loads(line)
    except ValueError:
        raise _damaged(part, "a line is no JSON") from None  # the cause would hold a piece of the content
    if not isinstance(found, dict) or not isinstance(found.get("metadata", {}), dict):
        raise _damaged(part, "a line is no object")
    return found


def _line(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document).encode() + b"\n"


def _damaged(part: str, why: str) -> errors.IntegrityError:
    return errors.IntegrityError(f"The part {part} of a Kubernetes backup cannot be used: {why}; do not trust this backup.")
