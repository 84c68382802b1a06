"""What faults can do to an embedded server beside killing it: hang it, limit its resources, reach its files; and what the kernel shows.

See `model.powers` for the contracts. Works on the server's process and its door alike.
"""

import resource
import signal
from collections.abc import Mapping
from pathlib import Path

from drplatform.model import errors
from drplatform.model.powers import FILE_DESCRIPTORS, FILE_SIZE
from drplatform.platforms.embedded.process import Pid, ServerProcess, Waits

RESOURCES = {FILE_SIZE: resource.RLIMIT_FSIZE, FILE_DESCRIPTORS: resource.RLIMIT_NOFILE}
_SHOWN = {"Max file size": FILE_SIZE, "Max open files": FILE_DESCRIPTORS}
"""As /proc/PID/limits calls them (proc(5))."""
SECONDS_TO_HANG = 5.0
ABSENT: Mapping[str, str] = {"process": "absent"}


class Hurtable:
    """Pausable, Limited, Traceable and OnDisk, for a class that has a process and a disk."""

    name: str
    _process: ServerProcess
    _door: ServerProcess
    _waits: Waits

    def hang(self) -> None:
        self._door.signal(signal.SIGSTOP)
        self._process.signal(signal.SIGSTOP)
        self._waits.until(f"{self.name} to hang", lambda: self.trace()["process"] != "running", within=SECONDS_TO_HANG)

    def wake(self) -> None:
        self._process.signal(signal.SIGCONT)
        self._door.signal(signal.SIGCONT)

    def limit(self, resource_name: str, value: int | None) -> None:
        """Raises StoreError when it does not run."""
        for pid in (self._require(), *([self._door.pid] if self._door.pid else [])):
            _, hard = resource.prlimit(pid.number, RESOURCES[resource_name])
            soft = hard if value is None else value
            resource.prlimit(pid.number, RESOURCES[resource_name], (soft, hard))

    def trace(self) -> Mapping[str, str]:
        pid = self._process.pid
        if not pid or not pid.alive():
            return ABSENT
        return shown(_text(pid, "stat"), _text(pid, "limits"), _open_files(pid))

    @property
    def disk(self) -> Path:
        return self._disk

    @property
    def _disk(self) -> Path:
        raise NotImplementedError

    def _require(self) -> Pid:
        if not self._process.alive() or not self._process.pid:
            raise errors.StoreError(f"{self.name} does not run, so nothing of it can be limited; start it first.")
        return self._process.pid


def shown(stat: str, limits: str, files: int) -> Mapping[str, str]:
    """What /proc/PID/stat and /proc/PID/limits (proc(5)) say of a process, in the words of `Traceable`; `files` is how many it has open."""
    number, fields = stat.partition(" ")[0], stat.rpartition(")")[2].split()
    if not fields:
        return ABSENT
    word = "paused" if fields[0] in "Tt" else "running"
    return {"process": word, "pid": number, "started": f"{number}-{fields[19]}", "files": str(files), **_limits(limits)}


def _text(pid: Pid, name: str) -> str:
    try:
        return Path(f"/proc/{pid.number}/{name}").read_text()
    except OSError:
        return ""


def _open_files(pid: Pid) -> int:
    try:
        return len(list(Path(f"/proc/{pid.number}/fd").iterdir()))
    except OSError:
        return 0


def _limits(text: str) -> dict[str, str]:
    return {short: line[len(long) :].split()[0] for line in text.splitlines() for long, short in _SHOWN.items() if line.startswith(long)}
