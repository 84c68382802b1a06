"""MongoDB replica sets, from 5.0: full dump, continuous oplog capture, restore to any operation. Speaks the wire protocol itself.

The outside uses `connect`. Options of the endpoint:
- `replica_set`: the set's name; members of another are refused;
- `directory`: no server, but a directory of mongodump: a dump imports it, a restore exports into it; needs no address;
- `tls`: `yes`, with `tls_ca`, `tls_certificate`, `tls_key`: see `drplatform.model.tls`;
- `read_from`: `secondary` takes dumps and follows the oplog from a secondary where there is one.
"""

from drplatform.model.clock import Clock
from drplatform.model.ports import Endpoint
from drplatform.stores.mongodb.directory import MongoDirectory
from drplatform.stores.mongodb.store import MongoStore


def connect(endpoint: Endpoint, clock: Clock) -> MongoStore | MongoDirectory:
    """A store at this endpoint; connections are made when they are needed."""
    return MongoDirectory(endpoint) if "directory" in endpoint.options else MongoStore(endpoint, clock)
