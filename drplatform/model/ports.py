"""The protocols between the engine and its edges. The comments are the contract; the conformance suites test it.

An edge is found by its file name: `kind: postgres` imports `drplatform.stores.postgres` and calls its `connect`. Optional powers are
separate protocols, asked for at plan time with isinstance.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from drplatform.model.backup import BackupKind, Digest
from drplatform.model.clock import Clock, Interval
from drplatform.model.evidence import Evidence
from drplatform.model.inspection import Change
from drplatform.model.ledger import Mark
from drplatform.model.position import Position
from drplatform.model.replication import Replication
from drplatform.model.secret import Secret

BLOCK_BYTES = 8 * 1024 * 1024
"""A store cuts its dump into blocks of about this size; a single item (a document, at most 16 MiB and a bit) may exceed it."""


# -- where servers are --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Address:
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Credentials:
    user: str
    password: Secret


@dataclass(frozen=True)
class Endpoint:
    """How to reach one store. `options` by kind: mongodb `replica_set`; files `buckets` (comma separated), `region`;
    configuration `directory`. S3 credentials are access key (`user`) and secret key (`password`)."""

    kind: str
    addresses: tuple[Address, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    credentials: Credentials | None = None


# -- stores: the data under protection ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """One run of a dump that can be read independently of the others, from any thread, once.

    `name` is unique in the dump and path-like (`data/app.orders/0003`). Parts of a lower `stage` are loaded entirely before those of a
    higher one.
    `blocks()` yields the content; a part's blocks are loaded in order by one thread. A part without a block is not kept: that there is
    something empty belongs into a part that has blocks.
    """

    name: str
    stage: int
    blocks: Callable[[], Iterator[bytes]]


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
    """Where a restore arrived. `refused` names, in words, whatever of the backup could not be restored: empty is good."""

    reached: Position
    digests: Mapping[str, Digest] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    refused: tuple[str, ...] = ()


class Restore(Protocol):
    """A restore in progress into an empty, leased target. Order: load* (stage by stage), loaded, replay (at most once), finish."""

    def load(self, kind: BackupKind, part: str, blocks: Iterator[bytes]) -> None:
        """Load one part. Called from several threads for different parts of the same stage."""

    def loaded(self) -> None:
        """All parts of all backups are in: build what is built after the data (indexes)."""

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
        self, before: Iterable[tuple[str, Iterable[bytes]]], after: Iterable[tuple[str, Iterable[bytes]]] | None
    ) -> Sequence[Change]:
        """What changed from one backup to another, or (None) to what is there now."""

    def documents(self, parts: Iterable[tuple[str, Iterable[bytes]]]) -> Mapping[str, str]:
        """Path -> text of what is in a backup, for people; without secrets."""


@runtime_checkable
class Rehearsable(Protocol):
    """A store whose server can check a backup without taking it."""

    def rehearse(self, parts: Iterable[tuple[str, Iterable[bytes]]]) -> Sequence[str]:
        """What the server would refuse, in words; empty is good."""


# -- platforms: where the system under drill runs -----------------------------------------------------------------------------


class Instance(Protocol):
    """One server. `kind` as the store's kind."""

    name: str
    kind: str
    region: str
    address: Address

    def start(self) -> None:
        """Start and return when it answers. Nothing when it runs already."""

    def stop(self) -> None: ...

    def running(self) -> bool:
        """An independent look: does the process exist, and does something listen at its address?"""


@runtime_checkable
class Killable(Protocol):
    def kill(self) -> None:
        """At once, as a power cut does to a process (SIGKILL). Returns when it is gone."""


@runtime_checkable
class Erasable(Protocol):
    def erase(self) -> None:
        """Lose the disk: everything the instance stored. Refused with StoreError while it runs."""

    def stored_bytes(self) -> int:
        """Size of what is on its disk; 0 when it was lost."""


@dataclass(frozen=True)
class Region:
    name: str
    instances: tuple[Instance, ...]

    def of(self, kind: str) -> tuple[Instance, ...]:
        return tuple(i for i in self.instances if i.kind == kind)


@runtime_checkable
class Platform(Protocol):
    """Two regions, primary first, and a vault outside both. A context manager: entering starts it, leaving removes it."""

    name: str
    id: str

    @property
    def regions(self) -> tuple[Region, ...]: ...

    @property
    def directory(self) -> Path:
        """Private to the platform on the runner's machine: what a run keeps here goes with the platform, also when the run was killed."""

    def endpoint(self, kind: str) -> Endpoint:
        """The public name of a store: what clients use, whatever region serves it."""

    def vault(self) -> Endpoint:
        """The S3 endpoint of the backup vault; `options['bucket']` names the bucket."""

    def __enter__(self) -> "Platform": ...

    def __exit__(self, *exc: object) -> None: ...


@runtime_checkable
class Provisionable(Protocol):
    """A platform that can bring up new, empty servers in place of lost ones.

    New servers are private until they are published: clients that use the public name cannot reach a half-restored store, so the
    moment at which the service is back is the moment at which it was switched on, never earlier by accident.
    """

    def fence(self, region: str, kind: str) -> None:
        """Make sure that the region's servers of this kind accept no writes: stop them, keeping their disks."""

    def provision(self, region: str, kind: str) -> Endpoint:
        """New empty servers of this kind in the region, in a group of their own, reachable only at the private endpoint returned.

        Returns when they serve there. The servers of other regions are not touched.
        """

    def publish(self, region: str, kind: str) -> None:
        """Switch the public name to the provisioned servers of this kind; returns when they serve under it, with all they hold.

        Other servers of the same kind in this region become their replicas.
        """

    def rejoin(self, region: str, kind: str) -> None:
        """Bring the region's servers of this kind back, emptied, as replicas of the other region's group; returns when in sync."""


# -- repositories: where backups live -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ObjectInfo:
    key: str
    size: int
    modified: datetime


class Repository(Protocol):
    """Immutable objects by key. Safe to use from several threads. Transient errors are retried inside, bounded."""

    def put(self, key: str, data: bytes) -> None:
        """Store durably, all or nothing. Raises ObjectExists when the key is taken by other data; the same data again is fine."""

    def get(self, key: str) -> bytes:
        """Raises ObjectMissing."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """In order of keys."""

    def delete(self, key: str) -> None:
        """Nothing when it is not there."""

    def describe(self) -> str:
        """Where this is, for people; without secrets."""


# -- faults -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scene:
    """What faults and runbooks act on. `repository` is where the backups lie, if there is one."""

    platform: Platform
    stores: Mapping[str, DataStore]
    clock: Clock
    repository: Repository | None = None


@dataclass(frozen=True)
class Receipt:
    """That a fault took effect: on which targets, seen how. No targets: it did not."""

    targets: tuple[str, ...]
    seen: str


class Fault(Protocol):
    """A disaster as a frozen dataclass of its parameters. `engine/faulting` calls, in this order: capture, apply, confirm, heal, healed."""

    kind: str

    def affects(self) -> frozenset[str]:
        """Names of the stores whose users may notice."""

    def needs(self) -> frozenset[str]:
        """Capabilities, as in `drill.capabilities`: `store:mongodb`, `namespaced:mongodb`, `killable:primary`, `erasable:primary` ..."""

    def capture(self, scene: Scene) -> Mapping[str, Any]:
        """The state before, JSON-able and without secrets: enough for `heal` in another process. Touches nothing."""

    def apply(self, scene: Scene) -> None: ...

    def confirm(self, scene: Scene, before: Mapping[str, Any]) -> Receipt:
        """An independent look whether it took effect, by other means than `apply` used."""

    def heal(self, scene: Scene, before: Mapping[str, Any]) -> None:
        """Undo what can be undone; what is destroyed is the recovery's to bring back. Idempotent."""

    def healed(self, scene: Scene, before: Mapping[str, Any]) -> bool:
        """An independent look that nothing of the fault is in effect any more."""


@dataclass(frozen=True)
class FaultEffect:
    """When a fault took effect, in monotonic seconds: after its application began, before it was confirmed."""

    fault: str
    affects: frozenset[str]
    effect: Interval
    receipt: Receipt


# -- reports ------------------------------------------------------------------------------------------------------------------


class Report(Protocol):
    def write(self, evidence: Evidence, directory: Path) -> Path:
        """Write the report below `directory` and return the file that a person opens."""


Parts = Sequence[Part]


# -- two regions --------------------------------------------------------------------------------------------------------------


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


@runtime_checkable
class MultiRegion(Protocol):
    """A platform whose second region can serve in place of the first."""

    def endpoint_in(self, region: str, kind: str) -> Endpoint:
        """The servers of this kind in the region, at their public addresses, whoever serves."""

    def serve_from(self, region: str, kind: str) -> None:
        """Note that the region's servers of this kind serve from now on: `endpoint` names them."""

    def isolate(self, region: str, kind: str) -> tuple[Endpoint, ...]:
        """Start the region's fenced servers on the disks that they have, alone and private, each at an endpoint of its own.

        So that what they hold can be read; no client and no other server can reach them. `fence` or `rejoin` ends it.
        """

    def resume(self, region: str, kind: str) -> None:
        """Start the region's fenced or isolated servers at their public addresses, on the disks that they have."""


@dataclass(frozen=True)
class NameServer:
    """How to change public names. `kind` names the module in `drplatform.traffic`; `ttl` in seconds is given to each record.

    `options` by kind: route53 `region`, `endpoint`; kubernetes `kubeconfig`, `context`.
    """

    kind: str
    address: Address
    zone: str
    ttl: float
    credentials: Credentials | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Named(Protocol):
    """A platform with public names in a name server that can be changed."""

    named: bool
    """Whether this one was made with public names."""

    def names(self) -> NameServer: ...


@dataclass(frozen=True)
class Answer:
    """Where a public name points, and for how many seconds a client may remember it."""

    addresses: tuple[Address, ...]
    ttl: float


class Traffic(Protocol):
    """The public names of services."""

    ttl: float

    def point(self, name: str, to: tuple[Address, ...]) -> None:
        """Make the name point there; returns when the server gives that answer. Idempotent. Raises StoreError."""

    def lookup(self, name: str, timeout: float = 1.0) -> Answer:
        """Where the name points, asked of the server. Raises StoreError when it does not answer or knows no such name."""

    def close(self) -> None: ...


# -- increments ---------------------------------------------------------------------------------------------------------------


@runtime_checkable
class Incremental(Protocol):
    """A store that can dump what changed since a position of its history. Its `Restore` loads that after the backup that ended there."""

    def dump_since(self, since: Position) -> AbstractContextManager[Dump]:
        """Begin an incremental dump; its `begin` is `since`. Raises LogGap when the history does not reach back there any more."""


# -- restores that are cut off ------------------------------------------------------------------------------------------------


@runtime_checkable
class ResumedRestore(Restore, Protocol):
    """A restore that knows what an earlier attempt loaded."""

    def done(self, part: str) -> int:
        """How many blocks of a part of the base are loaded: `load` is given those that follow. Asked after all lower stages are loaded."""


@runtime_checkable
class Resumable(Protocol):
    """A store that keeps note of a restore, in itself, from its beginning to its end."""

    def unfinished(self) -> str:
        """The plan of a restore that has begun and not ended, whoever is at it; empty when there is none."""

    def resume(self, plan: str, again: bool) -> AbstractContextManager[ResumedRestore]:
        """Begin a restore; with `again`, or go on with one of the same plan that was cut off.

        Raises TargetRefused when another is at work, or was cut off and is not to be gone on with.
        """


# -- parts of a store ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """Namespaces of a store: `app.orders`, or `app.*` for all of a database; and the other names that some get."""

    only: tuple[str, ...]
    rename: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return ", ".join(f"{name} as {self.rename[name]}" if name in self.rename else name for name in self.only)


@runtime_checkable
class Selective(Protocol):
    """A store of which chosen namespaces can be restored beside what it holds."""

    def restore_only(self, choice: Choice, plan: str, again: bool) -> AbstractContextManager[Restore]:
        """Begin a restore of the chosen namespaces; nothing else is touched. With `again`, what an earlier attempt made goes first.

        `load` is called for all parts, and takes of them what is chosen. Raises TargetRefused when a name is taken.
        """


# -- alerts -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Notice:
    """What people are told of an alert: that it fires, fires still, or is over. `since` and `at` in UTC."""

    name: str
    subject: str
    severity: str
    text: str
    state: str
    since: datetime
    at: datetime


class Alerts(Protocol):
    """Where notices go."""

    def send(self, notice: Notice) -> None:
        """Bounded in time and in repeats. Raises StoreError when it could not be delivered."""
