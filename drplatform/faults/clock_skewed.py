"""The clock of servers is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _mongodb, _redis, _servers
from drplatform.model import errors, ports, powers

LEAST = 5.0
"""A clock that is off by less cannot be told from one that is slow to be asked."""


@dataclass(frozen=True)
class ClockSkewed(_servers.OnServers):
    """The clock of some MongoDB or Redis servers in a region is `seconds` ahead (below zero: behind), by default of one server."""

    stores: tuple[str, ...] = ("mongodb",)
    count: int = 1
    seconds: float = 60.0

    kind = "clock-skewed"

    def needs(self) -> frozenset[str]:
        return frozenset({f"skewable:{self.region}"})

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        if abs(self.seconds) < LEAST:
            raise errors.SettingsError(f"A clock has to be wrong by {LEAST:g} seconds at least to be seen, not by {self.seconds:g}.")
        if fixed := [s.name for s in self.servers(scene) if not _skewable(s).skews]:
            raise errors.SettingsError(f"The clock of {', '.join(fixed)} cannot be set wrong; take stores mongodb or redis.")
        return {"servers": [s.name for s in self.servers(scene) if s.running()]}

    def apply(self, scene: ports.Scene) -> None:
        for server in self.servers(scene):
            _skewable(server).skew(self.seconds)

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        """The servers are asked for the time."""
        off = {s.name: _off(scene, s) for s in self.servers(scene)}
        wrong = [name for name, seconds in off.items() if abs(seconds - self.seconds) < LEAST / 2]
        told = ", ".join(f"{name} {seconds:+.1f} s" for name, seconds in off.items())
        return _servers.receipt(before["servers"], wrong, f"asked for the time, they differ from this machine by: {told}")

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        """Also of one that was stopped since."""
        for server in self.servers(scene):
            if server.name in before["servers"] and not self._right(scene, server):
                _skewable(server).skew(0)
        _servers.start_again(self.servers(scene), before)

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        servers = self.servers(scene)
        return _servers.all_run(servers, before) and all(self._right(scene, s) for s in servers if s.name in before["servers"])

    def _right(self, scene: ports.Scene, server: ports.Instance) -> bool:
        return server.running() and abs(_off(scene, server)) < LEAST / 2


def _off(scene: ports.Scene, server: ports.Instance) -> float:
    """By how many seconds the server's clock is ahead of the runner's, by its own word."""
    if server.kind == "redis":
        with _redis.client(server.address) as one:
            seconds, microseconds = one.time()
        told = seconds + microseconds / 1e6
    else:
        with _mongodb.member(server.address) as one:
            told = one.admin.command("hello")["localTime"].replace(tzinfo=scene.clock.utc().tzinfo).timestamp()
    return float(told - scene.clock.utc().timestamp())


def _skewable(server: ports.Instance) -> powers.Skewable:
    assert isinstance(server, powers.Skewable)  # the plan has made sure
    return server


FAULT = ClockSkewed
