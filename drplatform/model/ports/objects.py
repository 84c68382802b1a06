"""What a store of objects (S3) can do besides: increments that compare with the backup before, delta restores, checks."""

import random
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from drplatform.model import sampling
from drplatform.model.ports.stores import Dump
from drplatform.model.position import Position

BackupParts = Sequence[tuple[str, Iterable[bytes]]]
"""Name and blocks of the parts of one backup, as they were dumped. The blocks of parts that are not needed are not taken."""


@dataclass(frozen=True)
class ObjectChoice:
    """What of a backup, and where to. `keys`: these objects alone. `into`: bucket in the backup -> bucket in the target, if another.

    `delete`: what the backup does not hold goes, within the prefix. `closely`: read also what the listing shows to be untouched; a listing
    does not show a change of nothing but tags. `configuration`: the buckets are set up as in the backup, too.
    """

    prefix: str = ""
    keys: frozenset[str] = frozenset()
    into: Mapping[str, str] = field(default_factory=dict)
    delete: bool = False
    closely: bool = False
    configuration: bool = False

    @property
    def everything(self) -> bool:
        """Whether all objects of the backup are wanted, where they were."""
        return not (self.prefix or self.keys or self.into)

    def takes(self, key: str) -> bool:
        return key in self.keys if self.keys else key.startswith(self.prefix)

    @property
    def beginning(self) -> str:
        """How all chosen keys begin."""
        if not self.keys:
            return self.prefix
        first, last = min(self.keys), max(self.keys)
        return first[: next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))]


@dataclass(frozen=True)
class Reconciled:
    """What was done. Everything written was read back. `refused`: what the target does not take, in words."""

    reached: Position
    chosen: int
    written: int
    bytes_written: int
    deleted: int
    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checked:
    """What a check found: names and sizes of all objects compared, `sampled` of them read whole. `problems` in words; empty is good."""

    population: int
    sampled: int
    problems: tuple[str, ...]

    def bound(self, confidence: float = 0.95) -> int:
        """With no problem found, fewer objects than this have a wrong content, with this confidence."""
        return sampling.bound(self.population, self.sampled, confidence)


@runtime_checkable
class Comparing(Protocol):
    """A store without a history: what changed is found by comparing with the backup before. Its `Restore` loads an increment after that."""

    def increment(self, previous: BackupParts) -> AbstractContextManager[Dump]:
        """Begin an incremental dump; its `begin` is where the backup ended of which these are the parts. Raises IntegrityError."""


@runtime_checkable
class Reconcilable(Protocol):
    """A store that can be brought to a backup while it holds something, and compared with one."""

    def reconcile(self, chain: Sequence[BackupParts], choice: ObjectChoice) -> Reconciled:
        """Bring it to the last backup of the chain; only what differs is written, and read back. A run that was killed is repeated."""

    def check(self, backup: BackupParts, share: float, generator: random.Random, into: Mapping[str, str] | None = None) -> Checked:
        """Compare with a backup: all names and sizes, and the content and properties of a share (0 to 1) of the objects."""
