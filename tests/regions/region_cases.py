"""A platform of two regions with a witness and public names, run by hand, and the `drplatform failover` command as a process."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from real_servers import CLOCK

from drplatform.engine.naming import PublicName
from drplatform.environment import Environment, Settings, connect, traffic
from drplatform.model import clock as clocks
from drplatform.model import ledger
from drplatform.model.ledger import Mark
from drplatform.model.replication import Role

WANTED = frozenset({"names", "witness"})
STORES = ("mongodb", "redis", "files")


class ByHand:
    """One platform, with a state directory of its own."""

    def __init__(self, directory: Path, wanted: frozenset[str] = WANTED) -> None:
        self.directory = directory
        self.variables = {"DRPLATFORM_STATE": str(directory / "state"), "DRPLATFORM_SCRATCH": str(directory / "scratch")}
        (directory / "scratch").mkdir()
        self.env = Environment.open(Settings.read({**os.environ, **self.variables}))
        self.id = self.env.up(wanted).id
        self.run("keys", "generate")
        self.platform = self.env.attached(self.id)
        self.names = traffic(self.platform.names(), CLOCK) if "names" in wanted else None
        self._number = 0

    def close(self) -> None:
        self.env.down(self.id)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-c", "from drplatform.cli import main; main()", *words]

    def run(self, *words: str) -> str:
        """The command's standard output. Anything but success is an error, with what it said."""
        done = subprocess.run(self.command(*words), env={**os.environ, **self.variables}, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def cut_off(self, generator: random.Random, *words: str, at: str = "") -> str:
        """Run the command and kill it a random time after its first step, or the one that `at` names; how it ended, and what it had said."""
        after = generator.uniform(0.0, 3.0)
        with subprocess.Popen(
            self.command(*words), env={**os.environ, **self.variables}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            first = process.stderr.readline()
            while at not in first and (line := process.stderr.readline()):
                first += line
            try:
                process.wait(after)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
            said = first + process.stderr.read()
        return f"killed after {after:.2f} s ({process.returncode}): {said}"

    def kill(self, region: str) -> None:
        for instance in next(r for r in self.env.attached(self.id).regions if r.name == region).instances:
            instance.kill()

    def user(self, store: str):
        """How clients see the store now: by its name, or by all members."""
        platform = self.env.attached(self.id)
        if store == "mongodb" or self.names is None:
            return connect(platform.endpoint(store), CLOCK)
        return PublicName(store, platform.endpoint(store), lambda e: connect(e, CLOCK), self.names, CLOCK)

    def write(self, store: str, count: int) -> list[Mark]:
        """Acknowledged writes, each with a number of its own."""
        marker = self.user(store).marker("writer")
        written = []
        for _ in range(count):
            self._number += 1
            payload = ledger.payload("writer", self._number, 1)
            written.append(Mark("writer", self._number, ledger.digest(payload)))
            marker.write(written[-1], payload)
        marker.close()
        return written

    def marks(self, store: str) -> set[Mark]:
        """What is there, asked of the server that the name points to."""
        platform = self.env.attached(self.id)
        endpoint = platform.endpoint(store)
        if store != "mongodb" and self.names:
            assert self.names.lookup(store).addresses == endpoint.addresses
        return set(connect(endpoint, CLOCK).marks())

    def replicated(self) -> None:
        """Until Redis' replica has everything: its replication is asynchronous, and what is lost by that is not what these tests are about."""

        def caught_up() -> bool:
            (redis,) = (s for s in self.states() if s.store == "redis")
            return all(m.lag_operations == 0 for m in redis.members if m.role is Role.SECONDARY)

        clocks.wait_for(CLOCK, "Redis' replica to have everything", caught_up, within=30)

    def left_behind(self, store: str) -> set[str]:
        """The backups of what a rejoining region alone had of the store."""
        listed = json.loads(self.run("backups", "list", "--json"))
        return {b["id"] for b in listed["backups"] if b["store"].startswith(f"{store}-left-in-")}

    def states(self):
        with self.env.moving(self.id, lambda event: None) as moving:
            return moving.states()

    def has_moved(self, words: Sequence[str]) -> bool:
        """Whether the region that these words name serves already. A rejoin can be done twice, so of that it is not told."""
        with self.env.moving(self.id, lambda event: None) as moving:
            return words[0] != "rejoin" and words[words.index("--to") + 1] == moving.serving

    def serving(self) -> str:
        with self.env.moving(self.id, lambda event: None) as moving:
            return moving.serving

    def primaries(self) -> dict[str, Sequence[str]]:
        """By store, the regions of the servers that accept writes."""
        regions = {str(i.address): i.region for r in self.env.attached(self.id).regions for i in r.instances}
        return {s.store: [regions[m.address] for m in s.primaries] for s in self.states()}
