"""One server process: started in a session of its own and tagged, watched, stopped, killed; also when another process had started it.

Knows the operating system's side only: process ids, /proc, signals, logs. Must not know what the server does.
"""

import contextlib
import errno
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from drplatform.model import clock as clocks
from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.model.ports import Address

T = TypeVar("T")

TAG = "DRPLATFORM_PLATFORM"
"""The environment variable by which a process says to which platform directory it belongs."""
SECONDS_TO_DIE = 10.0
LOG_TAIL_LINES = 6


@dataclass(frozen=True)
class Pid:
    """A process that cannot be confused with a later one of the same number: `started` in clock ticks since boot (proc(5), field 22)."""

    number: int
    started: int

    @classmethod
    def of(cls, number: int) -> "Pid | None":
        """None when there is no such process, or only its remains: a zombie without threads, which could still hold files and ports."""
        try:
            stat = Path(f"/proc/{number}/stat").read_text()
        except OSError:
            return None
        fields = stat.rpartition(")")[2].split()
        state, threads, started = fields[0], int(fields[17]), int(fields[19])
        return None if state in "ZX" and threads <= 1 else cls(number, started)

    def alive(self) -> bool:
        return Pid.of(self.number) == self

    def signal(self, number: int) -> None:
        """Send to exactly this process: the handle is taken before it is checked, so that the number cannot change hands in between."""
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(self.number)
            try:
                if self.alive():
                    signal.pidfd_send_signal(handle, number)
            finally:
                os.close(handle)

    def directory(self) -> Path | None:
        """Its working directory; None when it is not for us to read."""
        try:
            return Path(f"/proc/{self.number}/cwd").readlink()
        except OSError:
            return None

    def tag(self) -> str:
        """The platform directory that the process names in its environment; empty if none, or not for us to read."""
        try:
            entries = Path(f"/proc/{self.number}/environ").read_bytes().split(b"\0")
        except OSError:
            return ""
        found = next((e for e in entries if e.startswith(TAG.encode() + b"=")), b"")
        return os.fsdecode(found.partition(b"=")[2])


def tagged() -> Iterator[tuple[Pid, str]]:
    """All living processes of this user that carry a tag, with it."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (pid := Pid.of(int(entry.name))) and _is_mine(entry) and (tag := pid.tag()) and pid.alive():
            yield pid, tag


def _is_mine(entry: Path) -> bool:
    try:
        return entry.stat().st_uid == os.getuid()
    except OSError:
        return False


def kill_tagged(directory: Path, clock: Clock) -> int:
    """Kill every process tagged with this platform directory, and those they may start meanwhile; returns when none is left."""
    killed = set[Pid]()

    def left() -> list[int]:
        living = [pid for pid, tag in tagged() if tag == str(directory)]
        for pid in living:
            pid.signal(signal.SIGKILL)
            killed.add(pid)
        return [pid.number for pid in living]

    clocks.wait_for(clock, f"the processes of {directory} to be gone", left, within=SECONDS_TO_DIE, until=lambda living: not living)
    return len(killed)


def accepts(address: Address, timeout: float = 0.5) -> bool:
    """Does something listen there?"""
    try:
        with socket.create_connection((address.host, address.port), timeout):
            return True
    except OSError:
        return False


def free(address: Address) -> bool:
    """Could a server listen there? Somebody else on this machine may have the port for a while."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((address.host, address.port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE  # of any other reason the server itself tells more
    return True


@dataclass(frozen=True)
class Waits:
    """Waiting that ends at once when the platform is being closed."""

    clock: Clock
    closing: threading.Event

    def until(
        self,
        what: str,
        look: Callable[[], T],
        *,
        within: float,
        ignoring: tuple[type[Exception], ...] = (),
        holds: Callable[[T], bool] = bool,
    ) -> T:
        """As `clock.wait_for`. Raises StoreError when the platform is closed meanwhile."""

        def checked() -> T:
            self.check()
            return look()

        return clocks.wait_for(self.clock, what, checked, within=within, every=0.02, ignoring=ignoring, until=holds)

    def check(self) -> None:
        if self.closing.is_set():
            raise Closing("The platform is being closed.")


class Closing(errors.DrplatformError):
    """The platform is being closed: whoever waits for its servers gives up."""


class ServerProcess:
    """At most one running process of a command. All methods may be called from any thread."""

    def __init__(
        self, name: str, directory: Path, tag: Path, environment: Mapping[str, str], waits: Waits, within: Sequence[str] = ()
    ) -> None:
        self.name, self._within = name, within
        self.log = directory / "log"
        self.pid: Pid | None = None
        self._directory, self._waits, self._lock = directory, waits, threading.Lock()
        self._environment = {**environment, TAG: str(tag), "TMPDIR": str(directory)}
        self._child: subprocess.Popen[bytes] | None = None

    def launch(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the process; does not wait for anything. Not once the platform is closing."""
        with self._lock, self.log.open("ab") as log:
            self._waits.check()
            self._child = subprocess.Popen(
                [*self._within, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._directory,
                env={**self._environment, **environment},
                start_new_session=True,
                restore_signals=False,  # a file that cannot grow is then an error of the write, as on a full disk, and no SIGXFSZ
            )
            self.pid = Pid.of(self._child.pid)

    def clear(self) -> None:
        """Kill what another process started here without living to note it. A server may have gone to its disk, below this directory."""

        def here(pid: Pid) -> bool:
            found = pid.directory()
            return found is not None and found.is_relative_to(self._directory)

        strays = [pid for pid, tag in tagged() if tag == self._environment[TAG] and pid != self.pid and here(pid)]
        for stray in strays:
            stray.signal(signal.SIGKILL)
        clocks.wait_for(
            self._waits.clock, f"strays of {self.name} to end", lambda: not any(s.alive() for s in strays), within=SECONDS_TO_DIE
        )

    def alive(self) -> bool:
        """Is the process there? Takes the remains of a dead child away."""
        with self._lock:
            if self._child is not None and self._child.poll() is not None:
                self._child = self.pid = None
            return self.pid is not None and self.pid.alive()

    def terminate(self, within: float) -> None:
        """Ask it to end, and kill it when it has not within so many seconds. Returns when it is gone."""
        self.signal(signal.SIGTERM)
        try:
            self._gone(within)
        except errors.DeadlineExceeded:
            self.kill()

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self.signal(signal.SIGKILL)
        self._gone(SECONDS_TO_DIE)

    def last_words(self) -> str:
        """The end of its log, on one line."""
        try:
            lines = self.log.read_bytes()[-4000:].decode(errors="replace").splitlines()
        except OSError:
            return "no log"
        return " | ".join(line.strip()[:300] for line in lines[-LOG_TAIL_LINES:]) or "an empty log"

    def signal(self, number: int) -> None:
        """Send a signal, if it is there."""
        if self.alive() and (pid := self.pid):
            pid.signal(number)

    def _gone(self, within: float) -> None:
        clocks.wait_for(self._waits.clock, f"{self.name} to end", lambda: not self.alive(), within=within, every=0.01)
