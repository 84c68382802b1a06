"""What some stores can do besides: each an own protocol, asked for at plan time with isinstance."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from drplatform.model.inspection import Change
from drplatform.model.ports.places import Address
from drplatform.model.ports.stores import Dump, Restore
from drplatform.model.position import Position
from drplatform.model.replication import Replication


@dataclass(frozen=True)
class LogBatch:
    """Some entries of a store's log: those after `previous` up to and including `last`. `block` is empty when nothing came.

    Blocks of successive batches may be joined. `at` is when the batch arrived (UTC).
    """

    previous: Position
    last: Position
    block: bytes
    entries: int
    at: datetime


@dataclass(frozen=True)
class Operation:
    """One entry of a log, for people: what was done to what, and where in history. `before` is the position just before it."""

    at: Position
    before: Position
    verb: str
    subject: str


@runtime_checkable
class LogCapture(Protocol):
    """A store whose log can be followed continuously."""

    def follow(self, after: Position, stop: threading.Event) -> Iterator[LogBatch]:
        """Batches without a gap from `after` on, at least one (perhaps empty) every 0.5 seconds, until `stop` is set.

        Only what cannot be rolled back any more. Reconnects by itself. Raises LogGap when entries after the last batch are no longer
        to be had.
        """

    def operations(self, block: bytes) -> Iterator[Operation]:
        """Read a block of this store's log."""


@runtime_checkable
class Incremental(Protocol):
    """A store that can dump what changed since a position of its history. Its `Restore` loads that after the backup that ended there."""

    def dump_since(self, since: Position) -> AbstractContextManager[Dump]:
        """Begin an incremental dump; its `begin` is `since`. Raises LogGap when the history does not reach back there any more."""


@runtime_checkable
class ResumedRestore(Restore, Protocol):
    """A restore that knows what an earlier attempt loaded.

    `settled`: all backups of the plan are loaded. Then `load` is not called any more; `loaded` and `replay` are.
    """

    settled: bool

    def done(self, part: str) -> int:
        """How many blocks of a part of the base are loaded: `load` is given those that follow. Asked after all lower stages are loaded."""


@runtime_checkable
class Resumable(Protocol):
    """A store that keeps note of a restore, in itself, from its beginning to its end."""

    def unfinished(self) -> str:
        """The plan of a restore that has begun and not ended, whoever is at it; empty when there is none."""

    def halfway(self) -> str:
        """The same of a restore of the whole store alone, as far as the account may see it: until it ends, the store holds a part of what it should."""

    def resume(self, plan: str, again: bool) -> AbstractContextManager[ResumedRestore]:
        """Begin a restore; with `again`, or go on with one of the same plan that was cut off.

        Raises TargetRefused when another is at work, or was cut off and is not to be gone on with.
        """


@dataclass(frozen=True)
class Choice:
    """Namespaces of a store: `app.orders`, or `app.*` for all of a database; and the other names that some get."""

    only: tuple[str, ...]
    rename: Mapping[str, str] = field(default_factory=dict)

    def beyond(self, scope: tuple[str, ...]) -> tuple[str, ...]:
        """What is chosen and lies, by its name, outside of what a partial backup holds."""
        return tuple(name for name in self.only if name not in scope and f"{name.partition('.')[0]}.*" not in scope)

    def __str__(self) -> str:
        return ", ".join(f"{name} as {self.rename[name]}" if name in self.rename else name for name in self.only)


@runtime_checkable
class Selective(Protocol):
    """A store of which chosen namespaces can be dumped alone, and restored beside what it holds."""

    def dump_only(self, only: tuple[str, ...]) -> AbstractContextManager[Dump]:
        """Begin a dump of these namespaces (`app.orders`, `app.*`). Raises SettingsError for a name that is that of nothing."""

    def restore_only(self, choice: Choice, plan: str, again: bool) -> AbstractContextManager[Restore]:
        """Begin a restore of the chosen namespaces; nothing else is touched. With `again`, what an earlier attempt made goes first.

        `load` is called for all parts, and takes of them what is chosen. Raises TargetRefused when a name is taken.
        """


@runtime_checkable
class OfReleases(Protocol):
    """A store whose content may use what an older release of its server does not know."""

    def takes(self, version: str) -> bool:
        """Whether the server here knows all that one of that `version()` may have written; also where that says nothing of a release."""


@runtime_checkable
class Namespaced(Protocol):
    """A store with named collections that can be dropped."""

    def namespaces(self) -> Mapping[str, str]:
        """Each namespace with an identity that a dropped and recreated one does not share."""

    def drop(self, namespace: str) -> None: ...

    marks_namespace: str
    """The namespace that holds the marks."""


@runtime_checkable
class Verifiable(Protocol):
    """A store whose server can check its own structures."""

    def validate(self) -> list[str]:
        """Defects found by the server's own check (MongoDB `validate`), in words; empty is good."""


@runtime_checkable
class Inspectable(Protocol):
    """A store whose backups can be looked into without a restore. Parts are (name, blocks), as they were dumped. Nothing is changed.

    Nothing that these give holds the content of a secret.
    """

    def differences(
        self,
        before: Iterable[tuple[str, Iterable[bytes]]],
        after: Iterable[tuple[str, Iterable[bytes]]] | None,
        without: frozenset[str] = frozenset(),
    ) -> Sequence[Change]:
        """What changed from one backup to another, or (None) to what is there now; `without`: sections that are left out on both sides."""

    def documents(self, parts: Iterable[tuple[str, Iterable[bytes]]]) -> Mapping[str, str]:
        """Path -> text of what is in a backup, for people; without secrets."""


@runtime_checkable
class Rehearsable(Protocol):
    """A store whose server can check a backup without taking it."""

    def rehearse(self, parts: Iterable[tuple[str, Iterable[bytes]]]) -> Sequence[str]:
        """What the server would refuse, in words; empty is good."""


@runtime_checkable
class Replicated(Protocol):
    """A store whose servers replicate among themselves. Its endpoint names all of them, in any region."""

    def replication(self) -> Replication:
        """What the servers say of themselves now. Those that do not answer are named as unreachable."""

    def promote(self, survivors: tuple[Address, ...], lost: tuple[Address, ...]) -> Address:
        """Make one of the survivors the primary, holding the most that any of them has; returns it when it accepts writes. Idempotent.

        The `lost` were fenced before: they are not asked, and are part of the group no more when it could not decide without them.
        Raises RecoveryFailed.
        """

    def hand_over(self, to: tuple[Address, ...], within: float) -> Address:
        """Have one of these become the primary without losing a write: the old one takes none until the new one has all. Idempotent.

        Raises RecoveryFailed, with the old primary serving on, when that does not succeed within so many seconds.
        """


class ReplicationPass(Protocol):
    """See `Replicable`. `as_of`: all written before is in the target; None before the first whole pass. `problem`: why it is not whole."""

    as_of: datetime | None
    copied: int
    deleted: int
    problem: str


@runtime_checkable
class Replicable(Protocol):
    """A store without replication of its own, which a follower of ours replicates into another."""

    def replicate(
        self, target: Any, stop: threading.Event, every: float = 1.0, in_step_until: datetime | None = None
    ) -> Iterator[ReplicationPass]:
        """Keep the target, a store of the same kind, as this one is, until `stop` is set. The two were in step at `in_step_until`."""

    def newer_in(self, target: Any) -> tuple[str, ...]:
        """What the target holds that this store does not, and that is newer than all of this store: it may be the target that leads."""
