"""Processes that keep processors busy or occupy memory, tagged as the platform's, so that whoever clears the platform ends them too."""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from drplatform.model import whole
from drplatform.platforms.embedded.process import TAG, Pid

NOTE = "pressure.json"
SECONDS_AT_MOST = 600
_BUSY = f"import signal; signal.alarm({SECONDS_AT_MOST})\nwhile True: pass"
_FULL = f"import signal, sys; signal.alarm({SECONDS_AT_MOST}); held = bytearray(int(sys.argv[1]) << 20)\n"
_FULL += "for page in range(0, len(held), 4096): held[page] = 1\nsignal.pause()"


def press(directory: Path, environment: Mapping[str, str], processors: int, mebibytes: int) -> None:
    """Start them. They end by themselves after SECONDS_AT_MOST."""
    commands = [("processor", [_BUSY])] * processors + ([("memory", [_FULL, str(mebibytes)])] if mebibytes else [])
    noted = _noted(directory)
    for word, arguments in commands:
        child = subprocess.Popen(
            [sys.executable, "-c", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**environment, TAG: str(directory)},
            start_new_session=True,
        )
        if pid := Pid.of(child.pid):
            noted.append((word, pid))
        _note(directory, noted)


def relieve(directory: Path) -> None:
    """What is noted stays noted: `pressure` tells when they are gone."""
    for _, pid in _noted(directory):
        pid.signal(signal.SIGKILL)


def pressure(directory: Path) -> Mapping[int, str]:
    """Those that live and carry the platform's tag, by the operating system's word."""
    return {pid.number: word for word, pid in _noted(directory) if pid.alive() and pid.tag() == str(directory)}


def _note(directory: Path, pids: list[tuple[str, Pid]]) -> None:
    whole.write(directory / NOTE, json.dumps([[word, pid.number, pid.started] for word, pid in pids]))


def _noted(directory: Path) -> list[tuple[str, Pid]]:
    try:
        rows = json.loads((directory / NOTE).read_text())
    except FileNotFoundError:
        return []
    return [(word, Pid(number, started)) for word, number, started in rows]
