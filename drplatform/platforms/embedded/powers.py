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

_RESOURCES = {FILE_SIZE: resource.RLIMIT_FSIZE, FILE_DESCRIPTORS: resource.RLIMIT_NOFILE}
_SHOWN = {"Max file size": FILE_SIZE, "Max open files": FILE_DESCRIPTORS}
"""As /proc/PID/limits calls them (proc(5))."""
SECONDS_TO_HANG = 5.0


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
            _, hard = resource.prlimit(pid.number, _RESOURCES[resource_name])
            soft = hard if value is None else value
            resource.prlimit(pid.number, _RESOURCES[resource_name], (soft, hard))

    def trace(self) -> Mapping[str, str]:
        pid = self._process.pid
        state = _state(pid) if pid and pid.alive() else ""
        if not pid or not state:
            return {"process": "absent"}
        word = "paused" if state in "Tt" else "running"
        shown = {"process": word, "pid": str(pid.number), "started": f"{pid.number}-{pid.started}"}
        return {**shown, "files": str(_open_files(pid)), **_limits(pid)}

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


def _state(pid: Pid) -> str:
    try:
        return Path(f"/proc/{pid.number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _open_files(pid: Pid) -> int:
    try:
        return len(list(Path(f"/proc/{pid.number}/fd").iterdir()))
    except OSError:
        return 0


def _limits(pid: Pid) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid.number}/limits").read_text().splitlines()
    except OSError:
        return {}
    return {short: line[len(long) :].split()[0] for line in lines for long, short in _SHOWN.items() if line.startswith(long)}
