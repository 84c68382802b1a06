"""The command line of a mongod member, and how one sees that it answers. What members do together is in `replicaset`."""

from collections.abc import Mapping
from pathlib import Path

import pymongo.errors

from drplatform.model.ports import Address
from drplatform.platforms.embedded import layout, replicaset

_PARAMETERS = ("diagnosticDataCollectionEnabled=false", "shutdownTimeoutMillisForSignaledShutdown=100")


class Member:
    """Small in memory and on disk: this is one of several on somebody's machine, with drills' data."""

    transient: tuple[type[Exception], ...] = (pymongo.errors.PyMongoError,)

    def __init__(self, program: Path, replica_set: str) -> None:
        self._program, self._replica_set = program, replica_set

    def command(self, place: layout.Place, port: int, disk: Path, settings: Mapping[str, str]) -> list[str]:
        command = [str(self._program), "--dbpath", str(disk), "--bind_ip", place.host, "--port", str(port)]
        command += ["--replSet", self._replica_set, "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"]
        command += ["--wiredTigerEngineConfigString", "log=(file_max=8MB,prealloc=false)"]
        return command + [word for parameter in _PARAMETERS for word in ("--setParameter", parameter)]

    def environment(self) -> Mapping[str, str]:
        return {}

    def answers(self, place: layout.Place, address: Address) -> bool:
        return replicaset.answers(address)
