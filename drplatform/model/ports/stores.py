"""What every store can do: be dumped, restored, compared, and used by the clients of the ledger and the prober."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from drplatform.model.backup import BackupKind, Digest
from drplatform.model.ledger import Mark
from drplatform.model.position import Position

BLOCK_BYTES = 8 * 1024 * 1024
"""A store cuts its dump into blocks of about this size; a single item (a document, at most 16 MiB and a bit) may exceed it."""


@dataclass(frozen=True)
class Part:
    """One run of a dump that can be read independently of the others, from any thread, once.

    `name` is unique in the dump and path-like (`data/app.orders/0003`). Parts of a lower `stage` are loaded entirely before those of a
    higher one.
    `blocks()` yields the content; a part's blocks are loaded in order by one thread. A part without a block is not kept: that there is
    something empty belongs into a part that has blocks. `secret`: it may have readers of its own.
    """

    name: str
    stage: int
    blocks: Callable[[], Iterator[bytes]]
    secret: bool = False


Parts = Sequence[Part]


@dataclass(frozen=True)
class DumpEnd:
    """What a dump knows when all its parts are read. The dump is consistent as of `end` (after what it holds is loaded)."""

    begin: Position
    end: Position
    digests: Mapping[str, Digest] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


class Dump(Protocol):
    """A dump in progress. Leaving its context releases everything it holds, also after an error."""

    def parts(self) -> Iterator[Part]:
        """The parts, to be read in parallel. May be lazy: a later part may be made after earlier ones were read."""

    def finish(self) -> DumpEnd:
        """Call once, after all parts were read."""


@dataclass(frozen=True)
class RestoreEnd:
    """Where a restore arrived. `refused` names, in words, whatever of the backup could not be restored: empty is good.

    `left` names what a person should look at and the restore rightly leaves: what the backup does not hold, or the target has of its own.
    `compared` names the digests that the store itself has compared with what it was given to load.
    """

    reached: Position
    digests: Mapping[str, Digest] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    compared: frozenset[str] = frozenset()


class Restore(Protocol):
    """A restore in progress into an empty, leased target. Order: load* (stage by stage), loaded, replay (at most once), finish."""

    def load(self, kind: BackupKind, part: str, blocks: Iterator[bytes]) -> None:
        """Load one part. Called from several threads for different parts of the same stage."""

    def loaded(self, last: bool = False) -> None:
        """All parts of all backups are in: build what is built after the data (indexes). `last`: no log follows, so it may be left to `finish`,
        which can be at it while it reads back what was loaded."""

    def replay(self, blocks: Iterator[bytes], until: Position | None) -> None:
        """Apply the continuous log, in order, up to and including `until` (None: all of it).

        Entries at or before what was loaded are passed over.
        """

    def finish(self) -> RestoreEnd:
        """Make the target ready for service, and say where it arrived."""


class Marker(Protocol):
    """A writing client of the ledger with its own connection, used by one thread."""

    def write(self, mark: Mark, payload: bytes) -> None:
        """Write the mark durably; returning is the acknowledgement. Raises NotWritten or Indeterminate, nothing else.

        Bounded: answers within 2 seconds. Never retries by itself a write that may have happened.
        """

    def close(self) -> None: ...


class Prober(Protocol):
    """A user of the store, with its own connections, used by one thread; reconnects by itself."""

    def attempt(self, number: int, timeout: float) -> None:
        """Read the old acknowledged write (the anchor) and check it, then have a new write acknowledged.

        Raises StoreError when either does not work within `timeout` seconds.
        """

    def close(self) -> None: ...


@runtime_checkable
class DataStore(Protocol):
    """One store of the platform, reached at its endpoint. Methods are safe to call from several threads."""

    name: str
    kind: str
    ordered: bool
    """Whether `marks()` tells the order in which each client wrote (then reordering is a finding), also after a restore."""

    def identity(self) -> str:
        """Which store this is, and not another of the same address: replica set id, Redis run id, bucket markers."""

    def version(self) -> str:
        """Server name and version."""

    def position(self) -> Position:
        """Where its history is now: everything acknowledged before this call is at or before it."""

    def occupants(self) -> tuple[str, ...]:
        """Names of the content that a restore would collide with; empty for a fresh target."""

    def dump(self) -> AbstractContextManager[Dump]:
        """Begin a full dump (Redis: a snapshot)."""

    def restore(self) -> AbstractContextManager[Restore]:
        """Begin a restore. The engine has checked identity and occupants before."""

    def digest(self) -> Mapping[str, Digest]:
        """Content digest by collection, database or bucket, of the content now; the ledger's marks and probes are left out."""

    def seed(self, seed: int, items: int) -> None:
        """Fill a fresh store with `items` reference items of varied content (collections, types, indexes), reproducible from the seed.

        Used by drills on platforms of their own. Reference content lies apart from the marks.
        """

    def marker(self, client: str) -> Marker:
        """A new client for the ledger. Makes what it writes into (collection, bucket) when missing."""

    def marks(self) -> Iterator[Mark]:
        """All marks there, as the store holds them, in the order in which it keeps them. Digests are computed from the payloads found."""

    def prober(self, anchor: Mark, payload: bytes) -> Prober:
        """A new prober that looks for the anchor among the marks. The anchor was written by a marker before.

        Its own writes are kept apart from the marks.
        """

    def close(self) -> None: ...
