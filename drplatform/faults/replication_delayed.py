"""Replicas follow their primary late, and stay late."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _mongodb, _servers
from drplatform.model import errors, ports, powers

ENOUGH = 3.0
"""Seconds of lag that no healthy replica on an idle network has; a longer delay is confirmed as soon as it has come so far."""
DELAYS = ("priority", "secondaryDelaySecs")


@dataclass(frozen=True)
class ReplicationDelayed:
    """The MongoDB members of a region are `seconds` behind their primary and stay so: they apply what it writes only then."""

    store: str = "mongodb"
    region: str = "secondary"
    seconds: int = 5

    kind = "replication-delayed"

    def affects(self) -> frozenset[str]:
        """Users are served by the primary."""
        return frozenset()

    def needs(self) -> frozenset[str]:
        return frozenset({f"store:{self.store}", f"reached:{self.store}"})

    def aim(self, scene: ports.Scene) -> powers.Aim:
        return _servers.aim(scene, self._replicas(scene))

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        """What the replica set says of the members. Raises Inconclusive when one of them is the primary: that cannot be late."""
        if self.seconds < ENOUGH:
            raise errors.SettingsError(f"A delay has to be {ENOUGH:g} seconds at least to be seen, not {self.seconds}.")
        named = {str(s.address): s.name for s in self._replicas(scene)}
        with self._primary(scene) as one:
            members = {m["host"]: m for m in _configuration(one)["members"]}
            first = one.admin.command("hello")["primary"]
        if first in named or not named.keys() <= members.keys():
            raise errors.Inconclusive(f"Not every {self.store} server of the region {self.region} follows a primary; take another region.")
        return {"servers": list(named.values()), "hosts": list(named), "was": {h: {k: members[h][k] for k in DELAYS} for h in named}}

    def apply(self, scene: ports.Scene) -> None:
        late = {"priority": 0, "secondaryDelaySecs": self.seconds}
        self._configure(scene, {str(s.address): late for s in self._replicas(scene)})

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        """How far the members have come is compared with the primary, which is given something to pass on."""
        behind = self._behind(scene, before["hosts"])
        late = [name for name, host in zip(before["servers"], before["hosts"], strict=True) if behind.get(host, 0.0) >= ENOUGH]
        told = ", ".join(f"{host} {seconds:.1f} s" for host, seconds in behind.items())
        return _servers.receipt(before["servers"], late, f"behind the primary: {told}")

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        self._configure(scene, before["was"])

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        """As before, and no longer behind. Members that were replaced since are none of ours any more."""
        with self._primary(scene) as one:
            members = {m["host"]: m for m in _configuration(one)["members"]}
        same = all(members[host][k] == v for host, was in before["was"].items() if host in members for k, v in was.items())
        return same and all(seconds < ENOUGH for seconds in self._behind(scene, before["hosts"]).values())

    def _behind(self, scene: ports.Scene, hosts: list[str]) -> dict[str, float]:
        """How many seconds ago the primary wrote the first of what each has not applied."""
        with self._primary(scene) as one:
            one.admin.command("appendOplogNote", 1, data={"drplatform": "how far has each member come"})
            status = one.admin.command("replSetGetStatus")
            missed = {m["name"]: _first_after(one, m["optime"]["ts"]) for m in status["members"] if m["name"] in hosts and "optime" in m}
        return {host: (status["date"] - wall).total_seconds() if wall else 0.0 for host, wall in missed.items()}

    def _configure(self, scene: ports.Scene, wanted: Mapping[str, Mapping[str, Any]]) -> None:
        with self._primary(scene) as one:
            configuration = _configuration(one)
            for member in configuration["members"]:
                member |= wanted.get(member["host"], {})
            configuration["version"] += 1
            one.admin.command("replSetReconfig", configuration)

    def _primary(self, scene: ports.Scene) -> Any:
        return _mongodb.client(_mongodb.endpoint(scene, self.store))

    def _replicas(self, scene: ports.Scene) -> list[ports.Instance]:
        _mongodb.require(scene, self.store, "to make replicas of Redis late, take network-slow with sources: [secondary]")
        return _servers.OnServers(self.region, (self.store,)).servers(scene)


def _first_after(one: Any, moment: Any) -> Any:
    """When the primary wrote the first entry of its oplog after this one; None: there is none."""
    found = one.local["oplog.rs"].find_one({"ts": {"$gt": moment}}, {"wall": 1}, sort=[("$natural", 1)])
    return found and found["wall"]


def _configuration(one: Any) -> dict[str, Any]:
    found: dict[str, Any] = one.admin.command("replSetGetConfig")["config"]
    return found


FAULT = ReplicationDelayed
