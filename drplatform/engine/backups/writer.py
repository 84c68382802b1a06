"""Writes backups: dump -> blocks -> sealed chunks -> repository, in parallel, bounded in memory; the manifest last."""

import hashlib
import os
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from drplatform.engine.backups import reading, sealing, second_seal
from drplatform.engine.backups.catalogue import Catalogue, manifest_key
from drplatform.engine.backups.pace import Pace
from drplatform.engine.backups.sealing import DataKey, Opener
from drplatform.model import errors, ports
from drplatform.model.backup import BackupKind, ChunkRef, Digest, Manifest, SecretSeal
from drplatform.model.clock import Clock

WORKERS = 4
"""Parts read at once, and blocks sealed and stored at once. No more than twice so many blocks are in memory, half of them with what becomes
of them when they are sealed: some 4 x (1 + 3) x ports.BLOCK_BYTES at the most."""
READERS = max(2, os.cpu_count() or 2)
"""So many of the workers read at most: more than there are processors hinder each other, and the store that they read from. (Objects of 256 MiB
took 17 s with four on two processors, 15 s with two; documents and small objects the same with either.)"""


def back_up(
    store: ports.DataStore,
    kind: BackupKind,
    repository: ports.Repository,
    recipients: Sequence[str],
    clock: Clock,
    generator: random.Random,
    *,
    workers: int = WORKERS,
    rate: float | None = None,
    opener: Opener | None = None,
    only: tuple[str, ...] = (),
    secret_recipients: Sequence[str] = (),
) -> Manifest:
    """Dump the store into the repository and return the manifest, which is written last.

    An incremental backup continues the store's newest chain in the repository, or raises LogGap when there is none to continue.
    `rate`: bytes a second that are read from the store at the most. `opener`: needed for increments of stores without a history, whose
    previous backup is looked into. `only`: these namespaces alone, which makes it a PARTIAL backup, whatever full kind was asked for.
    `secret_recipients`: who alone reads the parts that the store calls secret; none: who reads the others.
    Raises what the store or the repository raises; what was written by then is no backup. Recipients are checked before anything is read.
    Raises StoreError for a store that a restore has not finished.
    """
    key, secret_key = DataKey.make(recipients), DataKey.make(secret_recipients) if secret_recipients else None
    begin = _partial(store, kind, only) if only or kind is BackupKind.PARTIAL else _dump(store, kind, repository, opener)
    kind = BackupKind.PARTIAL if only else kind
    _refuse_halfway(store)
    started = clock.utc()
    backup = _Backup(store.name, kind, sealing.new_id(started, generator), key, repository, secret_key)
    with begin() as dump:
        chunks = _write_all(backup, dump.parts(), workers, clock, rate)
        end = dump.finish()
    _refuse_halfway(store)
    manifest = Manifest(
        id=backup.id,
        store=store.name,
        store_kind=store.kind,
        kind=kind,
        identity=store.identity(),
        begin=end.begin,
        end=end.end,
        started=started,
        finished=clock.utc(),
        chunks=tuple(sorted(chunks, key=lambda c: (c.stage, c.part, c.number))),
        keys={key.id: key.wrapped},
        recipients=tuple(recipients),
        digests=backup.keyed(end.digests),
        counts=end.counts,
        versions={"server": store.version()},
        scope=only,
        secrets=backup.secrets(secret_recipients),
    )
    return _finish(backup, manifest)


def _refuse_halfway(store: ports.DataStore) -> None:
    """Raises StoreError for what a restore has not finished: whoever restores next would take a backup of that for the newest of the whole.

    Asked before and after, since a restore may begin meanwhile.
    """
    plan = store.halfway() if isinstance(store, ports.Resumable) else ""
    if plan:
        raise errors.StoreError(
            f"{store.name} holds a restore that is at work or was cut off ({plan}), and so a part of what it should; no backup was made of it. "
            "Wait for its end, or go on with it by --resume, and take the backup then."
        )


def _dump(
    store: ports.DataStore, kind: BackupKind, repository: ports.Repository, opener: Opener | None
) -> Callable[[], AbstractContextManager[ports.Dump]]:
    """How the dump for a backup of this kind begins. Raises SettingsError, LogGap, KeyUnavailable."""
    if kind is not BackupKind.INCREMENTAL:
        return store.dump
    if not isinstance(store, ports.Incremental | ports.Comparing):
        raise errors.SettingsError(f"{store.name} has no incremental backups; take a full one.")
    last = Catalogue(repository).last_of_chain(store.name)
    if last.identity != store.identity():
        raise errors.LogGap(f"The backups of {store.name} are of another server, {last.identity}; take a full backup first.")
    if isinstance(store, ports.Incremental):
        return partial(store.dump_since, last.end)
    if opener is None:
        raise errors.KeyUnavailable(
            f"An incremental backup of {store.name} compares with the index of the one before: name a private key with --identity."
        )
    return partial(store.increment, reading.parts(last, repository, opener, lazily=True))


def _partial(store: ports.DataStore, kind: BackupKind, only: tuple[str, ...]) -> Callable[[], AbstractContextManager[ports.Dump]]:
    """How the dump of chosen namespaces begins. Raises SettingsError."""
    if not only or kind not in (BackupKind.FULL, BackupKind.PARTIAL):
        raise errors.SettingsError(f"Chosen namespaces are backed up as they are, not as {kind.value}; leave out the kind, and name them.")
    if not isinstance(store, ports.Selective):
        raise errors.SettingsError(f"{store.name} is backed up as a whole; leave out --only.")
    return partial(store.dump_only, only)


def seal_log(
    store: ports.DataStore,
    identity: str,
    batches: Sequence[ports.LogBatch],
    key: DataKey,
    recipients: Sequence[str],
    repository: ports.Repository,
    clock: Clock,
    generator: random.Random,
) -> Manifest:
    """Seal successive batches of a store's log as one slice: one chunk and its manifest."""
    finished: datetime = clock.utc()
    backup = _Backup(store.name, BackupKind.LOG, sealing.new_id(finished, generator), key, repository)
    block = b"".join(batch.block for batch in batches)
    chunks = (backup.put("log", 0, 0, [block]),) if block else ()
    manifest = Manifest(
        id=backup.id,
        store=store.name,
        store_kind=store.kind,
        kind=BackupKind.LOG,
        identity=identity,
        begin=batches[0].previous,
        end=batches[-1].last,
        started=batches[0].at,
        finished=finished,
        chunks=chunks,
        keys={key.id: key.wrapped},
        recipients=tuple(recipients),
        counts={"entries": sum(batch.entries for batch in batches)},
    )
    return _finish(backup, manifest)


@dataclass
class _Backup:
    """Where the chunks of one backup go. Chunk objects are numbered in the order in which they are made."""

    store: str
    kind: BackupKind
    id: str
    key: DataKey
    repository: ports.Repository
    secret_key: DataKey | None = None
    _count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _secret: set[str] = field(default_factory=set)

    def put(self, part: str, number: int, stage: int, held: list[bytes], secret: bool = False) -> ChunkRef:
        """Takes the one block that is held, so that it is let go when it is sealed, not only when it is stored."""
        if secret and self.secret_key:
            held.append(second_seal.seal(self.secret_key, held.pop(), self.id, part, number))
            self._secret.add(part)
        plain = len(held[0])
        stored = self.key.seal(held.pop(), sealing.chunk_identity(self.id, part, number, stage, plain))
        name = f"{self.store}/{self.kind.value}/{self.id}/chunks/{self._next():06d}"
        sha256 = hashlib.sha256(stored).hexdigest()
        self.repository.put(name, stored, sha256)
        return ChunkRef(name, part, number, stage, plain, len(stored), sha256, self.key.id)

    def secrets(self, recipients: Sequence[str]) -> SecretSeal | None:
        """What the manifest says of the second seal; None when nothing has one."""
        if not self.secret_key or not self._secret:
            return None
        return SecretSeal({self.secret_key.id: self.secret_key.wrapped}, tuple(recipients), tuple(sorted(self._secret)))

    def keyed(self, digests: Mapping[str, Digest]) -> dict[str, Digest]:
        """For those alone who may read everything that went into them."""
        key = self.secret_key if self.secret_key and self._secret else self.key
        return {name: key.keyed(name, digest) for name, digest in digests.items()}

    def _next(self) -> int:
        with self._lock:
            self._count += 1
            return self._count


def _finish(backup: _Backup, manifest: Manifest) -> Manifest:
    backup.repository.put(manifest_key(backup.store, backup.kind, backup.id), sealing.pack_manifest(manifest, backup.key))
    return manifest


def _write_all(backup: _Backup, parts: Iterator[ports.Part], workers: int, clock: Clock, rate: float | None) -> list[ChunkRef]:
    """Write all parts, those of a stage in parallel. A part of a higher stage is read after all of the lower ones were."""
    stop = threading.Event()
    pace = Pace(clock, rate, stop).keep if rate else iter
    readers = min(workers, READERS)
    with (
        ThreadPoolExecutor(workers, thread_name_prefix=f"seal-{backup.store}") as sealers,
        ThreadPoolExecutor(readers, thread_name_prefix=f"backup-{backup.store}") as pool,
    ):
        sealing = _Sealing(backup, sealers, threading.Semaphore(workers), stop)
        running: set[Future[_Chunks]] = set()
        chunks = _Chunks()
        stage = 0
        try:
            for part in parts:
                limit = 1 if part.stage > stage else readers
                stage = part.stage
                _collect(running, limit, chunks)
                if stop.is_set():
                    break
                running.add(pool.submit(sealing.put_all, part, _until(pace(part.blocks()), stop.is_set)))
            _collect(running, 1, chunks)
            return chunks.all()
        except BaseException:
            stop.set()
            raise


class _Chunks:
    """Chunks that are stored, and those that are being stored."""

    def __init__(self) -> None:
        self._stored, self._coming = list[ChunkRef](), deque[Future[ChunkRef]]()

    def add(self, coming: Iterable[Future[ChunkRef]]) -> None:
        """Raises what storing the first of them raised."""
        self._coming.extend(coming)
        while self._coming and self._coming[0].done():
            self._stored.append(self._coming.popleft().result())

    def merge(self, other: "_Chunks") -> None:
        self._stored += other._stored
        self.add(other._coming)

    def all(self) -> list[ChunkRef]:
        """Waits for what is being stored, and raises what that raises."""
        return self._stored + [each.result() for each in self._coming]


def _collect(running: set[Future[_Chunks]], fewer_than: int, chunks: _Chunks) -> None:
    """Wait until fewer than so many are running, and take the chunks of those that ended. Raises what one of them raised."""
    while len(running) >= fewer_than:
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            running.discard(future)
            chunks.merge(future.result())


@dataclass(frozen=True)
class _Sealing:
    """Blocks are sealed and stored while the next ones are read; each that is being sealed, or waits for that, has taken one of `room`.

    `stop` is set when one could not be stored: its part may have been read to its end by then, and all others need not be.
    """

    backup: _Backup
    pool: ThreadPoolExecutor
    room: threading.Semaphore
    stop: threading.Event

    def put_all(self, part: ports.Part, blocks: Iterator[bytes]) -> _Chunks:
        """Ends when all is read, which may be before it is stored. Raises what reading or storing raises, the latter perhaps some blocks later."""
        chunks = _Chunks()
        for number, block in enumerate(blocks):
            self.room.acquire()
            held = [block]
            del block  # or it would be in memory until the next one is read
            future = self.pool.submit(self.backup.put, part.name, number, part.stage, held, part.secret)
            future.add_done_callback(self._done)
            chunks.add([future])
        return chunks

    def _done(self, future: Future[ChunkRef]) -> None:
        if future.exception():
            self.stop.set()
        self.room.release()


def _until(blocks: Iterable[bytes], stopped: Callable[[], bool]) -> Iterator[bytes]:
    for block in blocks:
        if stopped():
            return
        yield block
