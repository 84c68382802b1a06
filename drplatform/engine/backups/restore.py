"""Restores a chain of backups into a leased, empty target. Nothing is loaded before every byte of the chain was checked."""

import os
import resource
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from itertools import groupby
from typing import BinaryIO

from drplatform.engine.backups import second_seal
from drplatform.engine.backups.room import Room
from drplatform.engine.backups.sealing import Opener, Stored
from drplatform.engine.backups.verify import verify_seals
from drplatform.model import errors, ports
from drplatform.model.backup import BASES, Chain, ChunkRef, Manifest
from drplatform.model.clock import Clock

WORKERS = 4
SPOOL_BYTES = 4 * 1024**3
"""Checked objects are kept on disk, still encrypted, up to so many bytes, so that they need not be fetched twice."""
MOST_OPEN = 400
"""So many objects that are files stay open once they are checked, and no more than half as many as the process may have open."""

_ROOM = Room()

Progress = Callable[..., None]


@dataclass(frozen=True)
class Lease:
    """The target that was named for this restore: the identity that its store must have."""

    store: str
    identity: str


def restore(
    chain: Chain,
    store: ports.DataStore,
    repository: ports.Repository,
    opener: Opener,
    lease: Lease,
    clock: Clock,
    *,
    progress: Progress = lambda event, **detail: None,
    spool_bytes: int = SPOOL_BYTES,
    resume: bool = False,
    choice: ports.Choice | None = None,
    loaded: Callable[[int], object] = lambda count: None,
) -> ports.RestoreEnd:
    """Restore the chain into the store; with `resume`, go on with a restore of the same chain that was cut off; with `choice`, restore
    these namespaces alone, beside what the store holds. A chain that begins with a partial backup needs a choice within what that holds.

    Raises TargetRefused, KeyUnavailable or IntegrityError before the first byte is loaded; RecoveryFailed when the target does not take
    what is loaded, and IntegrityError when a chunk does not unpack, which was damaged before it was encrypted. `progress` is told `fetch`,
    `restore` and `replay`, each with `.begin` and `.end`; `loaded` is told the stored bytes of each chunk on its way into the store, from
    several threads.
    """
    _check_scope(chain, choice)
    check_target(store, lease, resume, choice)
    _check_release(chain, store)
    with tempfile.TemporaryFile() as spool, closing(_Chunks(repository, opener, spool.fileno(), spool_bytes, loaded)) as chunks:
        progress("fetch.begin", backups=len(chain.backups))
        for manifest in chain.backups:
            chunks.check(manifest)
        progress("fetch.end", bytes=sum(m.stored_bytes for m in chain.backups))
        check_target(store, lease, resume, choice)
        with _target(chain, store, resume, choice) as target:
            return _load(chain, target, chunks, progress)


def check_target(store: ports.DataStore, lease: Lease, resume: bool = False, choice: ports.Choice | None = None) -> None:
    """Raises TargetRefused unless the store is the leased one, and empty; with `resume` it may hold a restore that was cut off.

    With `choice` it need not be empty: whether the names are free is seen when the restore begins.
    """
    identity = store.identity()
    if identity != lease.identity:
        raise errors.TargetRefused(
            f"The target is {store.kind} {identity}, but the restore was prepared for {lease.identity}; nothing was touched."
        )
    plan = store.unfinished() if isinstance(store, ports.Resumable) else ""
    beside = f", or restore beside what is there by `drplatform {store.name} restore`" if isinstance(store, ports.Reconcilable) else ""
    if plan and resume:
        return
    if plan:
        raise errors.TargetRefused(
            f"The target {store.kind} {identity} holds a restore that is at work or was cut off ({plan}); wait for its end, or go on with "
            f"it by --resume{beside}. Nothing was touched."
        )
    if choice is None and (occupants := store.occupants()):
        raise errors.TargetRefused(
            f"The target {store.kind} {identity} is not empty: it holds {', '.join(occupants[:5])}; restore into a fresh one{beside}. "
            "Nothing was touched."
        )


def _check_release(chain: Chain, store: ports.DataStore) -> None:
    """Raises TargetRefused where a server of the chain was of a later release, of which the target would refuse something halfway."""
    versions = {version: manifest for manifest in chain.backups if (version := manifest.versions.get("server", ""))}
    for version, manifest in versions.items():
        if isinstance(store, ports.OfReleases) and not store.takes(version):
            raise errors.TargetRefused(
                f"Backup {manifest.id} is of {version} and the target is {store.version()}, which may not know all that it holds; restore "
                "into a server of the same release or a later one. Nothing was touched."
            )


def _check_scope(chain: Chain, choice: ports.Choice | None) -> None:
    """Raises SettingsError for a partial backup that would pass for the whole store, or for more than it holds."""
    scope = chain.base.scope
    if scope and (choice is None or choice.beyond(scope)):
        beyond = f", not {', '.join(choice.beyond(scope))}" if choice else ""
        raise errors.SettingsError(
            f"Backup {chain.base.id} holds only {', '.join(scope)}{beyond}; choose within that, or take a full backup. Nothing was touched."
        )


def log_blocks(chain: Chain, repository: ports.Repository, opener: Opener) -> Iterator[bytes]:
    """The blocks of the chain's log slices, checked, in order."""
    for manifest in chain.logs:
        chunks = _Chunks(repository, opener, None, 0)
        chunks.check(manifest)
        yield from chunks.blocks(manifest, manifest.chunks)


class _Chunks:
    """Chunks that were checked, kept encrypted as far as the bounds allow, else fetched again.

    Where they are files these stay open; else they are kept in a file without a name. What has no name cannot be left behind, however the
    process ends.
    """

    def __init__(
        self,
        repository: ports.Repository,
        opener: Opener,
        spool: int | None,
        bound: int,
        opened: Callable[[int], object] = lambda count: None,
    ) -> None:
        self._repository, self._opener, self._spool, self._bound, self._opened = repository, opener, spool, bound, opened
        self._lock = threading.Lock()
        self._used = 0
        self._kept: dict[str, tuple[int, int]] = {}
        self._open_files = dict[str, BinaryIO]()
        self._most_open = min(MOST_OPEN, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2) if spool is not None else 0

    def check(self, manifest: Manifest) -> None:
        """Check every object of the backup, as stored: each is unpacked once, when it is loaded.

        Raises IntegrityError with all that is wrong, or KeyUnavailable.
        """
        second_seal.check(self._opener, manifest)
        outcome = verify_seals(manifest, self._repository, self._opener, self._fetch)
        if not outcome.whole:
            raise errors.IntegrityError(f"Backup {manifest.id} is not whole, nothing was loaded: {'; '.join(outcome.problems[:5])}")

    def blocks(self, manifest: Manifest, refs: tuple[ChunkRef, ...]) -> Iterator[bytes]:
        """The plaintexts of the chunks, in order, one at a time."""
        for ref in refs:
            yield self._open(manifest, ref)

    def blocks_ahead(self, manifest: Manifest, refs: tuple[ChunkRef, ...]) -> Iterator[bytes]:
        """The same; while one is loaded, the next one is opened already."""
        with ThreadPoolExecutor(1, thread_name_prefix="open") as pool:
            coming = deque(pool.submit(self._open, manifest, ref) for ref in refs[:1])
            for ref in (*refs[1:], None):
                block = coming.popleft().result()
                if ref is not None:
                    coming.append(pool.submit(self._open, manifest, ref))
                yield block

    def _open(self, manifest: Manifest, ref: ChunkRef) -> bytes:
        self._opened(ref.stored)
        return second_seal.read(self._opener, manifest, ref, self._stored(ref))

    def close(self) -> None:
        for file in self._open_files.values():
            file.close()
        self._open_files.clear()

    def _fetch(self, ref: ChunkRef) -> Stored:
        """From the repository, to be kept."""
        if isinstance(self._repository, ports.OfFiles) and len(self._open_files) < self._most_open:
            file = self._open_files[ref.key] = self._repository.open(ref.key)
            return _read(file, ref)
        stored = self._repository.get(ref.key)
        self._keep(ref, stored)
        return stored

    def _keep(self, ref: ChunkRef, stored: bytes) -> None:
        with self._lock:
            offset = self._used
            if self._spool is None or offset + len(stored) > self._bound:
                return
            self._used += len(stored)
        _write_all(self._spool, stored, offset)
        self._kept[ref.key] = offset, len(stored)

    def _stored(self, ref: ChunkRef) -> Stored:
        if ref.key in self._open_files:
            with self._open_files.pop(ref.key) as file:
                return _read(file, ref)
        if self._spool is None or ref.key not in self._kept:
            return self._repository.get(ref.key)
        offset, size = self._kept[ref.key]
        return os.pread(self._spool, size, offset)


def _read(file: BinaryIO, ref: ChunkRef) -> memoryview:
    """All of it; of one that has grown a byte more than it had, which no seal takes. Until this thread reads the next."""
    view, at = _ROOM.of(ref.stored + 1), 0
    try:
        while got := os.preadv(file.fileno(), [view[at:]], at):
            at += got
    except OSError as error:
        raise errors.StoreError(f"{ref.key} cannot be read ({error.strerror}).") from error
    return view[:at]


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[written:], offset + written


def _target(chain: Chain, store: ports.DataStore, resume: bool, choice: ports.Choice | None) -> AbstractContextManager[ports.Restore]:
    plan = f"{', '.join(m.id for m in (chain.base, *chain.increments))} to {chain.until or 'the end of the log'}"
    if choice is not None:
        if not isinstance(store, ports.Selective):
            raise errors.SettingsError(f"{store.name} is restored as a whole; leave out --only.")
        return store.restore_only(choice, f"{choice} of {plan}", resume)
    return store.resume(plan, resume) if isinstance(store, ports.Resumable) else store.restore()


def _load(chain: Chain, target: ports.Restore, chunks: _Chunks, progress: Progress) -> ports.RestoreEnd:
    progress("restore.begin")
    settled = isinstance(target, ports.ResumedRestore) and target.settled
    for manifest in () if settled else (chain.base, *chain.increments):
        _load_backup(manifest, target, chunks)
    target.loaded(last=not chain.logs)
    progress("restore.end")
    if chain.logs:
        progress("replay.begin", slices=len(chain.logs))
        blocks = (block for manifest in chain.logs for block in chunks.blocks(manifest, manifest.chunks))
        target.replay(blocks, chain.until)
        progress("replay.end")
    return target.finish()


def _load_backup(manifest: Manifest, target: ports.Restore, chunks: _Chunks) -> None:
    """Load the parts of a backup, stage by stage, those of a stage in parallel."""
    ordered = sorted(manifest.chunks, key=lambda c: (c.stage, c.part, c.number))
    for _, of_stage in groupby(ordered, key=lambda c: c.stage):
        parts = [(name, tuple(refs)[_done(target, manifest, name) :]) for name, refs in groupby(of_stage, key=lambda c: c.part)]
        blocks = chunks.blocks_ahead if len(parts) == 1 else chunks.blocks
        with ThreadPoolExecutor(WORKERS, thread_name_prefix=f"restore-{manifest.store}") as pool:
            running = [pool.submit(target.load, manifest.kind, name, blocks(manifest, refs)) for name, refs in parts if refs]
            done, waiting = wait(running, return_when=FIRST_EXCEPTION)
            for future in waiting:
                future.cancel()
            for future in done:
                future.result()


def _done(target: ports.Restore, manifest: Manifest, part: str) -> int:
    """How many chunks of the part an earlier attempt loaded."""
    if manifest.kind not in BASES or not isinstance(target, ports.ResumedRestore):
        return 0
    return target.done(part)
