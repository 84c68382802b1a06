"""Redis and Valkey, from 6.2: snapshot, continuous capture and restore by the replication protocol alone.

The outside uses `connect`, and `disk` for a server's own files. Options of the endpoint:
- `transfer`: `disk` or `diskless`, how the source prepares a snapshot (else what suits it best);
- `acknowledging_replicas`: how many replicas must have a mark before it counts as acknowledged (0);
- `tls`: `yes`, with `tls_ca`, `tls_certificate`, `tls_key`: see `drplatform.model.tls`;
- `directory`: no server, but the files of one: a dump reads what a dead server left there, a restore writes what a stock server with
  `appendonly yes` starts from (`aof`: `single` for the one file of Redis 6); needs no address;
- `source_bind` (listen there), `source_port` (at this port) and `source_host` (what the target is told), for a target that sees us at another
  address than we do, or through something that passes a port on.
"""

from drplatform.model.clock import Clock
from drplatform.model.ports import Endpoint
from drplatform.stores.redis.directory import RedisDirectory
from drplatform.stores.redis.store import RedisStore


def connect(endpoint: Endpoint, clock: Clock) -> RedisStore | RedisDirectory:
    """A store at this endpoint; connections are made when they are needed."""
    return RedisDirectory(endpoint) if "directory" in endpoint.options else RedisStore(endpoint, clock)
