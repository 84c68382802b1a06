"""One server by itself, empty, for as long as somebody restores into it and looks: gone afterwards, also when that was killed (by a sweep)."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.model.ports import Endpoint
from drplatform.platforms.embedded import binaries, layout, lease, mongodb, redis, replicaset
from drplatform.platforms.embedded.platform import INHERITED
from drplatform.platforms.embedded.process import Waits
from drplatform.platforms.embedded.server import Recipe, Server

_REPLICA_SET = "scratch"


@contextmanager
def scratch(kind: str, clock: Clock, base: Path, servers: Mapping[str, str], environment: Mapping[str, str]) -> Iterator[Endpoint]:
    """A new server of that kind below `base`, killed and removed on leaving. Raises SettingsError for kinds that it cannot make."""
    recipe = _recipe(kind, binaries.find(servers, environment.get("PATH", "")))
    held, waits = lease.create(base), Waits(clock, threading.Event())
    try:
        place = next(p for p in layout.draw().servers if p.kind == kind)
        inherited = {name: environment[name] for name in INHERITED if name in environment}
        server = Server(place, held.directory, recipe, inherited, waits)
        server.start()
        yield _ready(server, waits)
    finally:
        held.remove(clock)


def _recipe(kind: str, programs: binaries.Programs) -> Recipe:
    match kind:
        case layout.MONGODB:
            return mongodb.Member(programs.mongod, _REPLICA_SET)
        case layout.REDIS:
            return redis.Server(programs.redis)
    raise errors.SettingsError(f"A backup of {kind} is not proved in a scratch server; leave out --restore, or run a drill.")


def _ready(server: Server, waits: Waits) -> Endpoint:
    if server.kind != layout.MONGODB:
        return Endpoint(server.kind, (server.address,))
    replicaset.initiate(_REPLICA_SET, {server.address: 1.0})
    replicaset.wait_for_primary(server.address, waits)
    return Endpoint(server.kind, (server.address,), {"replica_set": _REPLICA_SET})
