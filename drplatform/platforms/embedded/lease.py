"""Whose platform directories are: leases that the kernel frees when their owner dies, and the sweep that clears what has no owner.

Directories are `<base>/<id>/`, private to the user. Each holds a lease file; the living owner of a run has it locked (flock(2)), with
close-on-exec, so that no server inherits the lock. The lease of a platform made by hand has no owner and is left alone.
Making and claiming happen under the lock of the base, so that nobody takes a directory that is just being made.
"""

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.platforms.embedded import process

RUN, MANUAL = "run", "manual"
LEASE, BASE_LOCK, OUTSIDE, REMOVED = "lease.json", ".lock", "outside.txt", "removed-"
_OUTSIDE = re.compile(r"/tmp/seaweedfs-[a-z0-9]+-grpc-\d+\.sock")
_ID = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True)
class Terms:
    """What a lease file says. `started` is the owner's start in clock ticks since boot."""

    pid: int
    started: int
    kind: str


class Lease:
    """A platform directory that is ours as long as this object is not released (or this process dies)."""

    def __init__(self, directory: Path, descriptor: int) -> None:
        self.directory = directory
        self._descriptor = descriptor

    @property
    def id(self) -> str:
        return self.directory.name

    def write(self, kind: str) -> None:
        pid = process.Pid.of(os.getpid())
        assert pid
        text = json.dumps(asdict(Terms(pid.number, pid.started, kind))).encode()
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))

    def release(self) -> None:
        os.close(self._descriptor)

    def remove(self, clock: Clock) -> None:
        """Kill what is left of its processes, remove what they put elsewhere, and the directory; then release."""
        process.kill_tagged(self.directory, clock)
        _remove_outside(self.directory)
        removed = self.directory.with_name(REMOVED + self.id)
        with _locked_base(self.directory.parent):  # in one step, so that no sweep finds half a directory
            self.directory.rename(removed)
        shutil.rmtree(removed, ignore_errors=True)  # what a sweep has taken away first is no error
        self.release()


def create(base: Path) -> Lease:
    """A new private directory, leased to this process. Raises SettingsError when the base is not ours alone."""
    base = base.absolute()
    _make_base(base)
    with _locked_base(base):
        directory = base / secrets.token_hex(4)
        directory.mkdir(mode=0o700)
        lease = _try_lock(directory)
        assert lease, "a directory made under the lock of the base"
        lease.write(RUN)
        return lease


def claim(directory: Path) -> Lease | None:
    """Take over a directory whose owner is gone; None when it has an owner or is gone itself."""
    with _locked_base(directory.parent):
        return _try_lock(directory)


def terms(directory: Path) -> Terms | None:
    """What the lease says; None when there is none that can be read."""
    try:
        return Terms(**json.loads((directory / LEASE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def directories(base: Path) -> list[Path]:
    """The platform directories below the base."""
    try:
        return sorted(entry for entry in base.iterdir() if _ID.fullmatch(entry.name) and entry.is_dir() and not entry.is_symlink())
    except FileNotFoundError:
        return []


def has_owner(directory: Path) -> bool:
    """Is a living process using the directory? (Asked of the kernel.)"""
    with _locked_base(directory.parent):
        lease = _try_lock(directory)
    if lease:
        lease.release()
    return lease is None and directory.exists()


def sweep(base: Path, clock: Clock) -> int:
    """Clear every platform whose owner died: its processes, what they left elsewhere, its directory. The number of platforms cleared.

    Touches only directories below `base` and processes of this user that name one of them in their environment.
    """
    if not base.exists():
        return 0
    _make_base(base)
    base = base.absolute()
    orphans = _claim_orphans(base)
    for half_removed in base.glob(REMOVED + "*"):
        shutil.rmtree(half_removed, ignore_errors=True)  # its remover may be at it, too
    for orphan in orphans:
        orphan.remove(clock)
    strays = {Path(tag) for _, tag in process.tagged()} - set(directories(base))
    strays = {tag for tag in strays if tag.parent == base and _ID.fullmatch(tag.name) and not tag.exists()}
    for stray in strays:
        process.kill_tagged(stray, clock)
    return len(orphans) + len(strays)


def _claim_orphans(base: Path) -> list[Lease]:
    orphans = []
    with _locked_base(base):
        for directory in directories(base):
            found = terms(directory)
            if (found is None or found.kind != MANUAL) and (lease := _try_lock(directory)):
                orphans.append(lease)
    return orphans


def _make_base(base: Path) -> None:
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        seen = base.lstat()
    except OSError as error:
        raise errors.SettingsError(f"{base} cannot be made ({error.strerror}); set DRPLATFORM_SCRATCH to another place.") from error
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid():
        raise errors.SettingsError(f"{base} is not a directory of yours; remove it, or set DRPLATFORM_SCRATCH to another place.")
    if seen.st_mode & 0o077:
        raise errors.SettingsError(f"{base} is open to other users; run: chmod 700 {base}")


@contextlib.contextmanager
def _locked_base(base: Path) -> Iterator[None]:
    descriptor = os.open(base / BASE_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _try_lock(directory: Path) -> Lease | None:
    """Under the lock of the base only."""
    try:
        descriptor = os.open(directory / LEASE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return Lease(directory, descriptor)


def _remove_outside(directory: Path) -> None:
    """Sockets that a server leaves in /tmp whatever it is told; each was noted before the server was started."""
    for note in directory.glob(f"*/{OUTSIDE}"):
        for line in note.read_text().splitlines():
            place = Path(line)
            with contextlib.suppress(FileNotFoundError):
                if _OUTSIDE.fullmatch(line) and place.lstat().st_uid == os.getuid():
                    place.unlink()
