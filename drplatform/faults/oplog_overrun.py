"""The oplog is overrun: what was its newest entry is gone from it, so that no increment and no captured log leads on from before."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pymongo
from bson import json_util

from drplatform.faults import _mongodb, _servers
from drplatform.model import errors, ports, powers

LEAST = 990.0
"""Mebibytes of the smallest oplog that the server allows (replSetResizeOplog)."""
PIECE = 15 * 2**20
"""Bytes of one write, just below the largest document (16 MiB)."""
SECONDS_BETWEEN = 2.0
"""Between two writes once there are enough: a server keeps what its last checkpoint needs, takes one each minute (syncdelay), and looks for what
can go when it is written to."""
DATABASE = "drplatform_overrun"


@dataclass(frozen=True)
class OplogOverrun:
    """The oplogs of all MongoDB members become as small as they may, and a document of zeros is overwritten, `mebibytes` at most in all, until
    they hold nothing from before: a minute or two, as a server lets go of its oplog only up to its last checkpoint."""

    store: str = "mongodb"
    mebibytes: int = 2000

    lasting = True
    kind = "oplog-overrun"

    def affects(self) -> frozenset[str]:
        """Users are served on; backups that build on earlier ones are not to be had."""
        return frozenset()

    def needs(self) -> frozenset[str]:
        return frozenset({f"store:{self.store}", f"reached:{self.store}"})

    def aim(self, scene: ports.Scene) -> powers.Aim:
        return _servers.aim(scene, self._members(scene), destroys=True)

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        """Sizes, and the newest entry of all. Raises Inconclusive when a member is down: it would keep its oplog."""
        members = self._members(scene)
        if down := [s.name for s in members if not s.running()]:
            raise errors.Inconclusive(f"{', '.join(down)} does not run and would keep its oplog; start it first.")
        if self.mebibytes <= LEAST:
            raise errors.SettingsError(f"An oplog holds {LEAST:g} MiB at least, so more has to be written, not {self.mebibytes} MiB.")
        was = {}
        for server in members:
            with _mongodb.member(server.address) as one:
                was[server.name] = _size(one)
        with self._primary(scene) as one:
            newest = one.admin.command("hello")["lastWrite"]["opTime"]["ts"]
        return {"servers": list(was), "was": was, "newest": json_util.dumps(newest)}

    def apply(self, scene: ports.Scene) -> None:
        with self._primary(scene) as one:
            newest = one.admin.command("hello")["lastWrite"]["opTime"]["ts"]
        for server in self._members(scene):
            with _mongodb.member(server.address) as one:
                _resize(one, {"size": LEAST, "minRetentionHours": 0.0})
        with self._primary(scene) as one:
            ballast = one[DATABASE].get_collection("ballast", write_concern=pymongo.WriteConcern(len(self._members(scene))))
            for number in range(self.mebibytes * 2**20 // PIECE):
                ballast.replace_one({"_id": 0}, {"number": number, "zeros": bytes(PIECE)}, upsert=True)
                if number * PIECE > LEAST * 2**20:
                    if self._overrun(scene, newest) == {s.name for s in self._members(scene)}:
                        return
                    scene.clock.wait(threading.Event(), SECONDS_BETWEEN)

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        """The oldest entry of each oplog is compared with the newest that there was."""
        overrun = self._overrun(scene, json_util.loads(before["newest"]))
        return _servers.receipt(before["servers"], overrun, "the oldest entry of each oplog is newer than the newest was")

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        """What was written is taken away and the oplogs have their sizes again; what was in them is gone."""
        with self._primary(scene) as one:
            one.drop_database(DATABASE)
        for server in self._running(scene, before):
            with _mongodb.member(server.address) as one:
                _resize(one, before["was"][server.name])

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        for server in self._running(scene, before):
            with _mongodb.member(server.address) as one:
                if _size(one) != before["was"][server.name] or DATABASE in one.list_database_names():
                    return False
        return True

    def _overrun(self, scene: ports.Scene, newest: Any) -> set[str]:
        """The members whose oplog begins after that entry."""
        found = set()
        for server in self._members(scene):
            with _mongodb.member(server.address) as one:
                if one.local["oplog.rs"].find_one({}, {"ts": 1}, sort=[("$natural", 1)])["ts"] > newest:
                    found.add(server.name)
        return found

    def _members(self, scene: ports.Scene) -> list[ports.Instance]:
        _mongodb.require(scene, self.store, "only MongoDB has an oplog")
        return [i for region in scene.platform.regions for i in region.instances if i.kind == "mongodb"]

    def _running(self, scene: ports.Scene, before: Mapping[str, Any]) -> list[ports.Instance]:
        return [s for s in self._members(scene) if s.name in before["was"] and s.running()]

    def _primary(self, scene: ports.Scene) -> Any:
        return _mongodb.client(_mongodb.endpoint(scene, self.store))


def _size(one: Any) -> dict[str, float]:
    """As replSetResizeOplog takes it: mebibytes, and hours."""
    size = one.local.command("collStats", "oplog.rs")["maxSize"] / 2**20
    hours = one.admin.command("serverStatus", oplogTruncation=1).get("oplogTruncation", {}).get("oplogMinRetentionHours", 0.0)
    return {"size": float(size), "minRetentionHours": float(hours)}


def _resize(one: Any, wanted: Mapping[str, float]) -> None:
    one.admin.command("replSetResizeOplog", 1, size=max(LEAST, wanted["size"]), minRetentionHours=wanted["minRetentionHours"])


FAULT = OplogOverrun
