"""Which server may be restored into: an empty, idle primary of its own that takes writes and reads the snapshot. Looks, and changes nothing."""

import threading

from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.stores.redis import cache, content, rdb
from drplatform.stores.redis import wire as wires
from drplatform.stores.redis.wire import ErrorReply, Wire

WATCHED_SECONDS = 0.5
"""So long a server with other clients is watched for their writes."""


def refuse_wrong(admin: Wire, clock: Clock, preface: rdb.Preface, wanted: cache.State | None) -> None:
    """Raises TargetRefused, in a sentence that says why. `wanted`: the state of the source, if the backup has it."""
    _refuse_role(admin)
    _refuse_unwritable(admin)
    if occupants := content.occupants(admin):
        raise errors.TargetRefused(f"The target is not empty ({', '.join(occupants)}); restore into an empty one.")
    _refuse_older(admin, preface)
    _refuse_small(admin, wanted)
    _refuse_powerless(admin)
    _refuse_live(admin, clock)


def _refuse_role(admin: Wire) -> None:
    server = wires.info(admin, "server")
    mode = server.get("redis_mode") or server.get("server_mode") or "standalone"
    if mode == "sentinel" or "role" not in wires.info(admin, "replication"):
        raise errors.TargetRefused("The target is a sentinel and holds no data; restore into the server that it watches.")
    if wires.info(admin, "replication")["role"] != "master":
        raise errors.TargetRefused("The target is a replica of another server; restore into a primary of its own.")
    if wires.info(admin, "cluster").get("cluster_enabled") == "1":
        raise errors.TargetRefused(
            "The target is a node of a Redis Cluster, which cannot follow a source; restore into a server of its own."
        )
    if wires.setting(admin, "tls-replication") == "yes":
        raise errors.TargetRefused("The target replicates by TLS only; set tls-replication to no for the time of the restore.")


def _refuse_unwritable(admin: Wire) -> None:
    needed, there = int(wires.setting(admin, "min-replicas-to-write")), wires.info(admin, "replication").get("connected_slaves", "0")
    if needed > int(there):
        raise errors.TargetRefused(
            f"The target takes no writes: it wants {needed} replicas (min-replicas-to-write) and has {there}; attach them or set it to 0."
        )


def _refuse_small(admin: Wire, wanted: cache.State | None) -> None:
    found = cache.read(admin)
    if wanted and found and (why := cache.without_room(found, wanted)):
        raise errors.TargetRefused(why)


def _refuse_powerless(admin: Wire) -> None:
    """Half a restore is worse than none: what the account must be able to do is asked before."""
    for said in _refusals(admin):
        raise errors.TargetRefused(f"The account of the target may not restore: {said} Grant it, or use another one.")


def _refusals(admin: Wire) -> list[str]:
    """What the server says to the commands of a restore that the account may not give."""
    user = admin.call("ACL", "WHOAMI")
    answers = admin.pipeline([("ACL", "DRYRUN", user, *command) for command in (("REPLICAOF", "NO", "ONE"), ("BGSAVE",))])
    if any(isinstance(answer, ErrorReply) for answer in answers):
        return _refusals_by_trial(admin)
    return [answer.decode() for answer in answers if answer != b"OK"]


def _refusals_by_trial(admin: Wire) -> list[str]:
    """For servers before version 7, which have no dry run: commands that change nothing on a primary, or cannot be meant."""
    said = []
    for command in (("REPLICAOF", "NO", "ONE"), ("BGSAVE", "NOTHING")):
        try:
            admin.call(*command)
        except ErrorReply as error:
            if error.code == "NOPERM":
                said.append(str(error))
    return said


def _refuse_live(admin: Wire, clock: Clock) -> None:
    """An empty server may be in use, as a queue is that is served at once."""
    if int(wires.info(admin, "clients").get("connected_clients", 1)) <= 1:
        return
    before = wires.info(admin, "persistence")["rdb_changes_since_last_save"]
    clock.wait(threading.Event(), WATCHED_SECONDS)
    if wires.info(admin.within(5), "persistence")["rdb_changes_since_last_save"] != before:
        raise errors.TargetRefused("The target is in use: other clients write to it; stop them, or restore into a server of its own.")


def _refuse_older(admin: Wire, preface: rdb.Preface) -> None:
    family, version = content.family(admin), content.rdb_version(admin)
    if not rdb.loadable(preface, family, version):
        writer = preface.fields.get("valkey-ver") or preface.fields.get("redis-ver", "unknown")
        raise errors.TargetRefused(
            f"The snapshot has RDB format {preface.family} {preface.version} (written by version {writer}), which the target, "
            f"{content.version(admin)} with format {version}, does not read; restore into the same or a newer version."
        )
