"""Bringing buckets that hold something back to a backup: only what differs is written; and looking whether they are as the backup says.

Whole, by prefix or by object, into the same buckets or others. A run that was killed is repeated: what it has written already is
the same, and is not written again.
"""

import random
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from drplatform.model import errors, sampling
from drplatform.model.ports import BackupParts, Checked, ObjectChoice, Reconciled
from drplatform.model.position import Position
from drplatform.stores.files import arrival, configuration, digest, framing, grants, index, listing
from drplatform.stores.files.configuration import Configuration
from drplatform.stores.files.content import Header
from drplatform.stores.files.index import Known, Record


def reconcile(s3: Any, buckets: tuple[str, ...], chain: Sequence[BackupParts], choice: ObjectChoice) -> Reconciled:
    """Make the target as the last backup of the chain says; the ones before hold the content that it did not store again.

    Raises TargetRefused or IntegrityError before anything is written when there is no such bucket or index.
    """
    with Known() as wanted:
        reached = _remember(chain[-1], choice, wanted)
        names = sorted({index.bucket_of(name) for name, _ in chain[-1] if name.startswith(index.PREFIX)})
        _refuse_foreign([choice.into.get(name, name) for name in names], buckets)
        running = _Run(s3, choice, wanted)
        chosen = wanted.count()
        for name in names:
            running.compare(name)
        for number, backup in enumerate(reversed(chain)):
            running.load(backup, newest=number == 0)
        running.require_all(names)
        for name, set_up in _configurations(chain[-1], names) if choice.configuration else ():
            running.set_up(name, set_up)
        return Reconciled(reached, chosen, running.written, running.bytes_written, running.deleted, tuple(sorted(running.refused)))


def check(
    s3: Any, buckets: tuple[str, ...], backup: BackupParts, share: float, generator: random.Random, into: Mapping[str, str] | None = None
) -> Checked:
    """Compare the target with a backup. Meant for a target at rest."""
    choice = ObjectChoice(into=into or {})
    with Known() as known:
        _remember(backup, choice, known)
        names = sorted({index.bucket_of(name) for name, _ in backup if name.startswith(index.PREFIX)})
        _refuse_foreign([choice.into.get(name, name) for name in names], buckets)
        population = known.count()
        sampled = sampling.size(population, share)
        asked = [(name, wanted) for name, wanted in _configurations(backup, names) if choice.into.get(name, name) == name]
        problems = [words for name, wanted in asked for words in _by_asking(s3, name, wanted)]
        problems += [words for name in names for words in _by_listing(s3, name, choice, known)]
        everything = ((name, record) for name in names for record in known.records(name))
        chosen = sampling.choose(everything, population, sampled, generator)
        listed = {name: grants.in_use(s3, choice.into.get(name, name)) for name in names}
        problems += filter(None, digest.in_parallel(chosen, lambda one: _by_reading(s3, one[0], one[1], choice, listed[one[0]])))
        return Checked(population, sampled, tuple(dict.fromkeys(problems)))


class _Run:
    """`wanted` shrinks to what must be written, then to nothing."""

    def __init__(self, s3: Any, choice: ObjectChoice, wanted: Known) -> None:
        self._s3, self._choice, self._wanted = s3, choice, wanted
        self._lock = threading.Lock()
        self.written = self.bytes_written = self.deleted = 0
        self.refused = list[str]()
        self._listed = dict[str, bool]()

    def set_up(self, name: str, wanted: Configuration) -> None:
        """Set the bucket up as in the backup, and say what the target did not take, or has beside."""
        target = self._target(name)
        refused = configuration.apply(self._s3, target, wanted, wanted.aspects)
        self.refused += refused.values()
        self.refused += configuration.differences(target, wanted, configuration.read(self._s3, target), refused)

    def compare(self, name: str) -> None:
        """Strike out what the target holds already; delete what it should not hold, if asked to."""
        target = self._target(name)
        self._listed[target] = grants.in_use(self._s3, target)
        entries = (e for e in listing.protected(self._s3, target, self._choice.beginning) if self._choice.takes(e.key))
        superfluous = (key for key in digest.in_parallel(entries, lambda entry: self._examined(name, entry)) if key)
        if self._choice.delete:
            self.deleted += arrival.delete(self._s3, target, superfluous)
        else:
            for _ in superfluous:
                pass

    def load(self, backup: BackupParts, *, newest: bool) -> None:
        """Write what is still wanted and in this backup."""
        if not self._wanted.count():
            return
        packs = self._packs_of_newest(backup) if newest else self._packs_of(backup)
        needed = [(name, blocks) for name, blocks in backup if name in packs]
        for _ in digest.in_parallel(needed, lambda part: self._load_pack(*part)):
            pass

    def require_all(self, names: list[str]) -> None:
        for name in names:
            for record in self._wanted.records(name):
                raise errors.IntegrityError(
                    f"No backup given holds the content of {name}/{record.header.key}; give the whole chain, from its full backup on."
                )

    def _target(self, name: str) -> str:
        return self._choice.into.get(name, name)

    def _examined(self, name: str, entry: listing.Entry) -> str:
        """The key, if the backup does not hold it."""
        record = self._wanted.find(name, entry.key)
        if record is None:
            return entry.key
        untouched = self._target(name) == name and record.is_of(entry) and not self._choice.closely
        same = untouched or (entry.size == record.header.size and not self._difference(self._target(name), record.header, record.sha256))
        if same:
            self._wanted.remove(name, entry.key)
        return ""

    def _packs_of_newest(self, backup: BackupParts) -> set[str]:
        names = {index.bucket_of(name) for name, _ in backup}
        return {record.part for name in names for record in self._wanted.records(name) if record.part}

    def _packs_of(self, backup: BackupParts) -> set[str]:
        packs = set[str]()
        for name, blocks in backup:
            if name.startswith(index.PREFIX):
                bucket = index.bucket_of(name)
                packs |= {r.part for r in index.read(blocks)[1] if r.part and self._wants(bucket, r.header)}
        return packs

    def _wants(self, bucket: str, header: Header) -> bool:
        record = self._wanted.find(bucket, header.key)
        return record is not None and record.header == header

    def _load_pack(self, name: str, blocks: Iterable[bytes]) -> None:
        bucket = index.bucket_of(name)
        for one in arrival.arrive(self._s3, self._target(bucket), framing.events(blocks), lambda header: self._wants(bucket, header)):
            self._settle(bucket, one)

    def _settle(self, bucket: str, one: arrival.Arrived) -> None:
        record = self._wanted.find(bucket, one.header.key)
        if record is None or record.sha256 != one.sha256:
            raise errors.IntegrityError(f"The pack and the index of {bucket}/{one.header.key} contradict each other; use another backup.")
        if not one.refusal and (words := self._difference(self._target(bucket), one.written, one.sha256)):
            raise errors.VerificationFailed(f"{self._target(bucket)}/{one.header.key} {words} right after it was restored; is it in use?")
        self._wanted.remove(bucket, one.header.key)
        with self._lock:
            self.written += not one.refusal
            self.bytes_written += 0 if one.refusal else one.header.size
            self.refused += [f"{bucket}/{words}" for words in (one.refusal, one.lacks) if words]

    def _difference(self, target: str, header: Header, sha256: str) -> str:
        return arrival.difference(self._s3, target, header, sha256, listed=self._listed[target])


def _remember(backup: BackupParts, choice: ObjectChoice, known: Known) -> Position:
    """The chosen records of a backup."""
    position: Position | None = None
    for name, blocks in backup:
        if name.startswith(index.PREFIX):
            position, records = index.read(blocks)
            known.add(index.bucket_of(name), (record for record in records if choice.takes(record.header.key)))
    if position is None:
        raise errors.IntegrityError("This backup of files has no index; do not trust it, use another one.")
    return position


def _refuse_foreign(targets: list[str], buckets: tuple[str, ...]) -> None:
    if foreign := [name for name in targets if name not in buckets]:
        raise errors.TargetRefused(f"The target has no bucket {', '.join(foreign)}, it has {', '.join(buckets)}; say where to restore to.")


def _configurations(backup: BackupParts, names: list[str]) -> Iterator[tuple[str, Configuration]]:
    """How the buckets of the backup were set up; nothing of a backup of an earlier version."""
    for name, blocks in backup:
        if name.startswith(configuration.PREFIX) and index.bucket_of(name) in names:
            yield index.bucket_of(name), Configuration.of(blocks)


def _by_asking(s3: Any, target: str, wanted: Configuration) -> Iterator[str]:
    return configuration.differences(target, wanted, configuration.read(s3, target))


def _by_listing(s3: Any, name: str, choice: ObjectChoice, known: Known) -> Iterator[str]:
    """All objects by name and size. What is missing is found as what was not seen."""
    target = choice.into.get(name, name)
    with Known() as seen:
        for entry in listing.protected(s3, target):
            record = known.find(name, entry.key)
            if record is None:
                yield f"{target}/{entry.key} is there and not in the backup"
                continue
            seen.add(name, [record])
            if entry.size != record.header.size:
                yield f"{target}/{entry.key} has another content"
        yield from (f"{target}/{r.header.key} is not there" for r in known.records(name) if not seen.holds(name, r.header.key))


def _by_reading(s3: Any, name: str, record: Record, choice: ObjectChoice, listed: bool) -> str:
    target = choice.into.get(name, name)
    words = arrival.difference(s3, target, record.header, record.sha256, listed=listed)
    return f"{target}/{record.header.key} {words}" if words else ""
