"""Backups as values: manifests, chunks, chains to a recovery point.

A backup is its manifest, written last; objects without a manifest are no backup. Knows nothing of repositories, keys in
clear, or servers.
"""

import enum
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from drplatform.model import errors
from drplatform.model.position import Position

FORMAT = 1


class BackupKind(enum.StrEnum):
    FULL = "full"
    INCREMENTAL = "incremental"
    LOG = "log"
    SNAPSHOT = "snapshot"
    PARTIAL = "partial"


BASES = frozenset({BackupKind.FULL, BackupKind.SNAPSHOT})
"""The kinds from which a restore of a whole store can begin. A PARTIAL one holds chosen namespaces alone: it is a kind of its own, so that
nothing that looks for the newest full backup, counts backups or goes by a rule can take it for one; it is restored where it is named."""
SCHEDULABLE = tuple(kind for kind in BackupKind if kind is not BackupKind.PARTIAL)
"""The kinds that a policy may ask for, and a drill take."""


@dataclass(frozen=True)
class Digest:
    """Content digest of one named collection of items, independent of their order.

    `items` counts them; `value` is, in hex, the sum modulo 2**256 of the SHA-256 of each item (an additive multiset hash,
    Clarke et al., "Incremental Multiset Hash Functions", 2003), so that parts are digested in parallel and added up.
    `keyed`: `value` is not that sum but an HMAC of it, as manifests hold it; without the backup's key nothing can be guessed from it.
    """

    items: int
    value: str
    keyed: bool = False

    def to_json(self) -> dict[str, Any]:
        return {"items": self.items, ("hmac" if self.keyed else "value"): self.value}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Digest":
        keyed = "hmac" in document
        return cls(int(document["items"]), str(document["hmac" if keyed else "value"]), keyed)


class Multiset:
    """Adds up a Digest, item by item. Not safe to add to from several threads: make one each, and merge."""

    def __init__(self, begin: Digest | None = None) -> None:
        self._items, self._sum = (begin.items, int(begin.value, 16)) if begin else (0, 0)

    def add(self, item: bytes) -> None:
        self._items += 1
        self._sum += int.from_bytes(hashlib.sha256(item).digest())

    def add_all(self, items: Iterable[bytes]) -> None:
        """The same for many, faster."""
        digests = [hashlib.sha256(item).digest() for item in items]
        self._items += len(digests)
        self._sum += sum(map(int.from_bytes, digests))

    def merge(self, other: "Multiset") -> None:
        self._items += other._items
        self._sum += other._sum

    def digest(self) -> Digest:
        return Digest(self._items, f"{self._sum % 2**256:064x}")


@dataclass(frozen=True)
class ChunkRef:
    """Where one chunk is stored and how to know that it is the right one.

    `key` is the object's key in the repository; `part` and `number` say which run of the dump it belongs to, `stage` when
    it may be loaded; `plain` and `stored` are sizes in bytes; `sha256` is of the object as stored (encrypted), so that
    anybody can check it without a key; `data_key` names the data key in the manifest's `keys`.
    """

    key: str
    part: str
    number: int
    stage: int
    plain: int
    stored: int
    sha256: str
    data_key: str

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "ChunkRef":
        return cls(**{name: document[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class SecretSeal:
    """The second seal of a backup's secrets: one data key of its own (as in `Manifest.keys`), to whom it is wrapped, and which parts it is on."""

    keys: Mapping[str, str]
    recipients: tuple[str, ...]
    parts: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"keys": dict(self.keys), "recipients": list(self.recipients), "parts": list(self.parts)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "SecretSeal":
        keys = {str(name): str(wrapped) for name, wrapped in document["keys"].items()}
        if len(keys) != 1:
            raise ValueError(f"secrets with {len(keys)} keys")
        return cls(keys, tuple(map(str, document["recipients"])), tuple(map(str, document["parts"])))


@dataclass(frozen=True)
class Manifest:
    """All that must be known to list, verify and restore one backup. Holds names and numbers, never content.

    `begin` and `end` bound the history that the backup covers: a base is consistent as of `end`; a LOG slice holds every
    operation after `begin` up to and including `end`, and `begin` is its predecessor's `end`. `keys` maps the id of each data key
    to that key encrypted to the age recipients (ASCII armour). `digests` are keyed (of backups of earlier versions they are not), and
    may be empty where the store takes none. `scope` names what a PARTIAL backup holds (`app.orders`, `app.*`); of every other kind it is empty, which means all of the store. `secrets` is there when
    secret parts have readers of their own.
    """

    id: str
    store: str
    store_kind: str
    kind: BackupKind
    identity: str
    begin: Position
    end: Position
    started: datetime
    finished: datetime
    chunks: tuple[ChunkRef, ...]
    keys: Mapping[str, str]
    recipients: tuple[str, ...]
    digests: Mapping[str, Digest] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    scope: tuple[str, ...] = ()
    secrets: SecretSeal | None = None

    @property
    def plain_bytes(self) -> int:
        return sum(chunk.plain for chunk in self.chunks)

    @property
    def stored_bytes(self) -> int:
        return sum(chunk.stored for chunk in self.chunks)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "id": self.id,
            "store": self.store,
            "store_kind": self.store_kind,
            "kind": self.kind.value,
            "identity": self.identity,
            "begin": self.begin.to_json(),
            "end": self.end.to_json(),
            "started": self.started.isoformat(),
            "finished": self.finished.isoformat(),
            "chunks": [chunk.to_json() for chunk in self.chunks],
            "keys": dict(self.keys),
            "recipients": list(self.recipients),
            "digests": {name: digest.to_json() for name, digest in self.digests.items()},
            "counts": dict(self.counts),
            "versions": dict(self.versions),
            **({"scope": list(self.scope)} if self.scope else {}),
            **({"secrets": self.secrets.to_json()} if self.secrets else {}),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Manifest":
        """Read a manifest's document. Raises IntegrityError when it is not one of this format."""
        try:
            if document["format"] != FORMAT:
                raise errors.IntegrityError(
                    f"Backup {document.get('id')!r} has format {document['format']!r}, this version reads format {FORMAT}; "
                    "use the version of drplatform that wrote it."
                )
            kind, scope = BackupKind(document["kind"]), tuple(map(str, document.get("scope", ())))
            if bool(scope) != (kind is BackupKind.PARTIAL):
                raise ValueError(f"a {kind.value} backup with the scope {scope}")
            return cls(
                id=str(document["id"]),
                store=str(document["store"]),
                store_kind=str(document["store_kind"]),
                kind=kind,
                identity=str(document["identity"]),
                begin=Position.from_json(document["begin"]),
                end=Position.from_json(document["end"]),
                started=datetime.fromisoformat(document["started"]),
                finished=datetime.fromisoformat(document["finished"]),
                chunks=tuple(ChunkRef.from_json(chunk) for chunk in document["chunks"]),
                keys={str(name): str(wrapped) for name, wrapped in document["keys"].items()},
                recipients=tuple(map(str, document["recipients"])),
                digests={str(name): Digest.from_json(digest) for name, digest in document["digests"].items()},
                counts={str(name): int(count) for name, count in document["counts"].items()},
                versions={str(name): str(version) for name, version in document["versions"].items()},
                scope=scope,
                secrets=SecretSeal.from_json(document["secrets"]) if "secrets" in document else None,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise errors.IntegrityError(
                f"A manifest cannot be read ({type(error).__name__}: {error}); do not trust this backup, use another one."
            ) from error


@dataclass(frozen=True)
class Chain:
    """The backups that lead to one recovery point, in the order in which they are applied.

    `until` is the last position to apply (None: everything in the chain).
    """

    base: Manifest
    increments: tuple[Manifest, ...] = ()
    logs: tuple[Manifest, ...] = ()
    until: Position | None = None

    @property
    def end(self) -> Position:
        """The position that a restore of this chain reaches at the most."""
        last = [self.base, *self.increments, *self.logs][-1].end
        return last if self.until is None or self.until > last else self.until

    @property
    def backups(self) -> tuple[Manifest, ...]:
        return (self.base, *self.increments, *self.logs)


def newest_base(catalogue: Iterable[Manifest], store: str, until: Position | None = None) -> Manifest:
    """The newest full backup or snapshot of the store whose end is not after `until`. Raises LogGap when there is none."""
    bases = [m for m in catalogue if m.store == store and m.kind in BASES and _not_after(m.end, until)]
    if not bases:
        when = f" at or before {until}" if until else ""
        raise errors.LogGap(f"There is no full backup of {store}{when}; take one, or choose a later recovery point.")
    return max(bases, key=lambda m: (m.finished, m.id))


def chain_to(catalogue: Iterable[Manifest], store: str, until: Position | None = None) -> Chain:
    """The chain that reaches `until` (None: the latest position reachable without a gap from the newest base).

    It goes by increments as far as they lead, then by the log: whatever the log reaches, that does too. Raises LogGap when the logs do not lead to `until` without a hole. Never bridges one.
    """
    manifests = [m for m in catalogue if m.store == store]
    base = newest_base(manifests, store, until)
    increments = _contiguous_increments(manifests, base, until)
    logs = _contiguous_logs(manifests, (increments or (base,))[-1].end, until)
    reached = (*increments, *logs)[-1].end if increments or logs else base.end
    if until is not None and reached < until:
        raise errors.LogGap(
            f"The log of {store} reaches {reached} but not {until}: a slice is missing; choose a recovery point up to the former."
        )
    return Chain(base, increments, tuple(logs), until)


def chain_at(catalogue: Iterable[Manifest], store: str, when: datetime) -> Chain:
    """The chain that reaches the last sealed moment at or before `when`, by the source's own clock (slices are sealed every second or so).

    Raises LogGap when the backups begin later, or do not reach that far without a hole.
    """
    manifests, moment = [m for m in catalogue if m.store == store], when.timestamp()
    earlier = [m for m in manifests if m.kind is BackupKind.LOG or m.end.at <= moment]
    whole = chain_to(earlier, store)
    if whole.end.at < moment:
        raise errors.LogGap(
            f"The backups of {store} reach {whole.end} and not {when:%Y-%m-%dT%H:%M:%SZ}; choose a moment up to the former."
        )
    ends = [m.end for m in whole.backups if m.end.at <= moment]
    return chain_to(earlier, store, ends[-1])


def chain_to_sequence(catalogue: Iterable[Manifest], store: str, sequence: tuple[int, ...]) -> Chain:
    """The chain that leads to exactly this point of the newest history that holds it. Raises LogGap."""
    manifests = sorted((m for m in catalogue if m.store == store), key=lambda m: m.finished, reverse=True)
    refused: errors.LogGap | None = None
    for timeline in dict.fromkeys(m.end.timeline for m in manifests if m.kind in BASES):
        own = [m for m in manifests if m.end.timeline == timeline]
        try:
            chain = chain_to(own, store, Position(timeline, sequence, 0.0))
            return replace(chain, until=Position(timeline, sequence, chain.backups[-1].end.at))
        except errors.LogGap as error:
            refused = refused or error
    raise refused or errors.LogGap(f"There is no full backup of {store}; take one.")


def chain_from(base: Manifest, catalogue: Iterable[Manifest], until: Position | None = None) -> Chain:
    """The chain that begins with this very base, a partial one too: what it holds and, with `until`, the log from there on.

    Raises LogGap when the log does not lead there without a hole, or `until` lies before the base.
    """
    if until is None:
        return Chain(base)
    if not _not_after(base.end, until):
        raise errors.LogGap(f"Backup {base.id} holds {base.store} as of {base.end}, not before that; choose an earlier backup.")
    logs = _contiguous_logs([m for m in catalogue if m.store == base.store], base.end, until)
    reached = logs[-1].end if logs else base.end
    if reached < until:
        raise errors.LogGap(
            f"The log of {base.store} after backup {base.id} reaches {reached} but not {until}; choose a recovery point up to the former."
        )
    return Chain(base, logs=tuple(logs), until=until)


def sealed_at(base: Manifest, catalogue: Iterable[Manifest], when: datetime) -> Position:
    """The last sealed moment at or before `when` that the log reaches from this base. Raises LogGap when it does not reach that far."""
    logs = _contiguous_logs([m for m in catalogue if m.store == base.store], base.end, None)
    whole, moment = (base, *logs), when.timestamp()
    ends = [m.end for m in whole if m.end.at <= moment]
    if not ends or whole[-1].end.at < moment:
        raise errors.LogGap(
            f"Backup {base.id} and the log after it hold {base.store} from {base.end} to {whole[-1].end}; choose a moment between them."
        )
    return ends[-1]


def _not_after(position: Position, until: Position | None) -> bool:
    return until is None or (position.timeline == until.timeline and position <= until)


def _contiguous_increments(manifests: list[Manifest], base: Manifest, until: Position | None) -> tuple[Manifest, ...]:
    """The increments that lead furthest from the base, each beginning exactly where the one before it ends."""
    own = [m for m in manifests if m.kind is BackupKind.INCREMENTAL and m.begin.timeline == base.end.timeline and _not_after(m.end, until)]
    leading: dict[tuple[int, ...], tuple[Manifest, ...]] = {base.end.sequence: ()}
    for piece in sorted(own, key=lambda m: (m.begin.sequence, m.end.sequence, m.finished)):
        if piece.begin.sequence in leading and piece.end > piece.begin:
            leading.setdefault(piece.end.sequence, (*leading[piece.begin.sequence], piece))
    return leading[max(leading)]


def _contiguous_logs(manifests: list[Manifest], after: Position, until: Position | None) -> list[Manifest]:
    """The slices that continue `after` one after another; the first may begin before it."""
    slices = [m for m in manifests if m.kind is BackupKind.LOG and m.begin.timeline == after.timeline]
    reached, chain = after, list[Manifest]()
    for piece in sorted(slices, key=lambda m: (m.begin.sequence, m.end.sequence)):
        if until is not None and reached >= until:
            break
        if piece.end <= reached:
            continue
        if piece.begin > reached:
            break
        chain.append(piece)
        reached = piece.end
    return chain
