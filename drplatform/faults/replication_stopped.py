"""Replicas stop to follow their primary, and go on answering as of then."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _mongodb, _redis, _servers
from drplatform.model import errors, ports, powers


@dataclass(frozen=True)
class ReplicationStopped:
    """The replicas of MongoDB or Redis in a region no longer take what their primary writes; they answer as of then."""

    store: str = "redis"
    region: str = "secondary"

    kind = "replication-stopped"

    def affects(self) -> frozenset[str]:
        """Users are served by the primary."""
        return frozenset()

    def needs(self) -> frozenset[str]:
        return frozenset({f"store:{self.store}"})

    def aim(self, scene: ports.Scene) -> powers.Aim:
        return _servers.aim(scene, self._replicas(scene))

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        follows = {s.name: _followed(s) for s in self._replicas(scene)}
        if not all(follows.values()):
            raise errors.Inconclusive(f"Not every {self.store} server of the region {self.region} follows a primary: {follows}.")
        return {"servers": list(follows), "follows": follows}

    def apply(self, scene: ports.Scene) -> None:
        for server in self._replicas(scene):
            if server.kind == "redis":
                with _redis.client(server.address) as one:
                    one.replicaof("NO", "ONE")
            else:
                with _mongodb.member(server.address) as one:
                    one.admin.command("fsync", lock=True)  # a locked secondary applies nothing

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        stopped = [s.name for s in self._replicas(scene) if _stopped(s)]
        return _servers.receipt(before["servers"], stopped, "they say so of themselves")

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        """One that has been promoted since, and serves users, is no replica any more: it is left alone."""
        for server in self._replicas(scene):
            if server.running() and _stopped(server) and not self._serves(scene, server):
                _follow_again(server, before["follows"][server.name])

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        return all(self._serves(scene, s) or (_followed(s) and not _stopped(s)) for s in self._replicas(scene) if s.running())

    def _serves(self, scene: ports.Scene, server: ports.Instance) -> bool:
        """Whether it is the Redis that clients are served by now."""
        if server.kind != "redis":
            return False  # a locked member of MongoDB is unlocked, whatever it is
        try:
            now = scene.platform.endpoint("redis")
            with _redis.client(now.addresses[0], now.credentials) as public, _redis.client(server.address) as one:
                return bool(public.info("server")["run_id"] == one.info("server")["run_id"])
        except errors.StoreError:
            return False

    def _replicas(self, scene: ports.Scene) -> list[ports.Instance]:
        return _servers.OnServers(self.region, (self.store,)).servers(scene)


def _followed(server: ports.Instance) -> str:
    """Whom it follows, as `host port` (MongoDB: that it is a secondary); empty when it follows nobody."""
    if server.kind == "redis":
        with _redis.client(server.address) as one:
            seen = one.info("replication")
        return f"{seen['master_host']} {seen['master_port']}" if seen.get("master_link_status") == "up" else ""
    with _mongodb.member(server.address) as one:
        return "the primary" if one.admin.command("hello").get("secondary") else ""


def _stopped(server: ports.Instance) -> bool:
    if server.kind == "redis":
        with _redis.client(server.address) as one:
            return bool(one.info("replication")["role"] == "master")
    with _mongodb.member(server.address) as one:
        return bool(one.admin.command("currentOp").get("fsyncLock"))


def _follow_again(server: ports.Instance, followed: str) -> None:
    if server.kind == "redis":
        with _redis.client(server.address) as one:
            one.replicaof(*followed.split())
        return
    with _mongodb.member(server.address) as one:
        while one.admin.command("fsyncUnlock").get("lockCount", 0):
            """Each lock is released by itself."""


FAULT = ReplicationStopped
