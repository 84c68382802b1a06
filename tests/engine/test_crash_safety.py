"""A drill that is killed at any moment leaves nothing behind once the next command has run; an interrupted one leaves nothing at all.

The real command on the embedded platform. Moments are chosen by the lines that a drill prints, and a little chance after the line.
"""

import json
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from real_servers import CLOCK

import drplatform
from drplatform.model import clock as clocks

ROOT = Path(drplatform.__file__).parents[1]
FEATURE = ROOT / "features/monthly/database_recovery.feature"
PROGRAM = Path(sys.executable).with_name("drplatform")
LINES = 30
"""A whole drill prints about so many lines."""


class Place:
    """A private state and scratch directory, and what commands that use it have left on the machine."""

    def __init__(self, directory: Path) -> None:
        self.scratch, self.reports = directory / "scratch", directory / "reports"
        self.temporary = directory / "tmp"
        self.temporary.mkdir()
        mine = {"DRPLATFORM_STATE": str(directory / "state"), "DRPLATFORM_SCRATCH": str(self.scratch), "TMPDIR": str(self.temporary)}
        self.environment = {**os.environ, **mine, "DRPLATFORM_REPORTS": str(self.reports)}
        self.addresses: set[str] = set()
        self.sockets: set[Path] = set()

    def begin(self, *arguments: object) -> subprocess.Popen:
        command = [PROGRAM, *map(str, arguments)]
        return subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def drill(self) -> subprocess.Popen:
        return self.begin("drill", "run", FEATURE)

    def run(self, *arguments: object) -> str:
        with self.begin(*arguments) as command:
            told = command.communicate(timeout=120)[1]
        assert command.returncode == 0, told
        return told

    def look(self) -> None:
        """Remember the ports and sockets of the platforms that are there now."""
        for layout in self.scratch.glob("drplatform-*/*/platform.json"):
            document = json.loads(layout.read_text())
            for server in (*document["servers"], document["vault"]):
                self.addresses |= {f"{server['host']}:{port}" for port in server["ports"].values()}
        for note in self.scratch.glob("drplatform-*/*/*/outside.txt"):
            self.sockets |= {Path(line) for line in note.read_text().splitlines()}

    def left(self) -> list[str]:
        directories = [str(p) for p in self.scratch.glob("drplatform-*/*") if p.name != ".lock"]
        listening = [f"port {address}" for address in self.addresses & listeners()]
        directories += [str(p) for p in self.temporary.iterdir()]
        return directories + processes_of(self.scratch) + listening + [str(s) for s in self.sockets if s.exists()]


def processes_of(scratch: Path) -> list[str]:
    """Processes that name the directory in their arguments or their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if str(scratch).encode() in told and state != "Z":
            found.append(f"process {process.name}")
    return found


def listeners() -> set[str]:
    """Addresses at which something listens, from /proc/net/tcp (proc(5)): hexadecimal, the address in the machine's byte order."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {_readable(row[1]) for row in rows if row[3] == "0A"}


def _readable(address: str) -> str:
    host, _, port = address.partition(":")
    octets = int(host, 16).to_bytes(4, sys.byteorder)
    return f"{'.'.join(map(str, octets))}:{int(port, 16)}"


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.run("heal")
    assert not made.left()


@pytest.fixture
def chance():
    seed = secrets.randbelow(2**31)
    print(f"seed {seed}")
    return random.Random(seed)


def until(drill: subprocess.Popen, lines: int, pause: float) -> list[str]:
    """Read so many lines of what the drill prints (or all), and then wait a little."""
    seen: list[str] = []
    for line in drill.stderr:
        seen.append(line)
        if len(seen) > lines:
            break
    CLOCK.wait(threading.Event(), pause)
    return seen


def kill(place: Place, lines: int, pause: float) -> str:
    """Kill a drill at that point; the last line it printed."""
    with place.drill() as drill:
        seen = until(drill, lines, pause)
        place.look()
        drill.kill()
    assert "Traceback" not in "".join(seen), "".join(seen)
    print(f"killed {pause:.2f} s after {seen[-1].strip()!r}")
    return "".join(seen)


def check_cleared(place: Place) -> None:
    assert place.left(), "planted: a killed drill has left its platform"
    place.run("heal")
    assert place.left() == []
    assert not list(place.reports.glob("*/*")), "what was killed is no evidence"


@pytest.mark.parametrize("third", [0, 1])
def test_a_drill_killed_at_any_point_leaves_nothing_once_healed(place, chance, third):
    kill(place, chance.randrange(third * LINES // 3, (third + 1) * LINES // 3), chance.random())
    check_cleared(place)


def test_the_next_drill_clears_a_killed_one_and_an_interrupted_one_clears_itself(place, chance):
    kill(place, chance.randrange(2 * LINES // 3, LINES - 5), chance.random())
    before = place.left()
    assert before, "planted: a killed drill has left its platform"
    with place.drill() as drill:
        until(drill, chance.randrange(1, 12), chance.random())
        place.look()
        assert not set(before) & set(place.left()), "the next run has cleared what the killed one left"
        drill.send_signal(signal.SIGINT)
        told = drill.stderr.read()
    assert drill.returncode == 130, told
    assert "interrupted" in told and "Traceback" not in told
    assert place.left() == []


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", range(20))
def test_a_drill_killed_at_any_of_many_points_leaves_nothing(place, chance, number):
    kill(place, chance.randrange(LINES), chance.random() * 2)
    place.run("heal")
    assert place.left() == []


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM] * 5)
def test_a_drill_interrupted_at_any_point_leaves_nothing(place, chance, sign):
    with place.drill() as drill:
        seen = until(drill, chance.randrange(LINES - 5), chance.random() * 2)
        place.look()
        drill.send_signal(sign)
        told = drill.stderr.read()
    assert drill.returncode == 130, "".join(seen) + told
    assert place.left() == []


def test_what_is_left_would_be_found(tmp_path):
    place = Place(tmp_path)
    (place.scratch / "drplatform-0" / "0123abcd").mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"], env=place.environment) as planted:
        clocks.wait_for(CLOCK, "the process to be seen", lambda: f"process {planted.pid}" in place.left(), within=10)
        planted.kill()
    assert place.left() == [str(place.scratch / "drplatform-0" / "0123abcd")]
