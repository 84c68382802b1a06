"""What a server holds and what it is, in few words: databases with their number of keys, functions, version."""

from drplatform.model import errors
from drplatform.stores.redis import wire as wires
from drplatform.stores.redis.wire import ErrorReply, Wire

PRIVATE = b"drplatform:"
"""Keys that begin so are the ledger's and the prober's, not the users'."""

_RDB_VERSION_BEFORE_7 = 9


def keys(wire: Wire) -> dict[str, int]:
    """Number of keys by database (`db0`), those of the ledger included; databases without keys are left out."""
    found = wires.info(wire, "keyspace")
    return {name: int(value.split(",")[0].removeprefix("keys=")) for name, value in found.items() if name.startswith("db")}


def libraries(wire: Wire) -> dict[str, bytes]:
    """Source code of the libraries of functions by name; empty on servers before version 7."""
    try:
        found = wire.call("FUNCTION", "LIST", "WITHCODE")
    except ErrorReply as error:
        if error.code == "ERR":
            return {}
        raise
    return {entry[b"library_name"].decode(): entry[b"library_code"] for entry in map(pairs, found)}


def occupants(wire: Wire) -> tuple[str, ...]:
    """What is there, in words; nothing for an empty server."""
    databases = [f"{name}: {count} keys" for name, count in keys(wire).items()]
    return (*databases, *(f"function library {name}" for name in libraries(wire)))


def family(wire: Wire) -> str:
    return wires.info(wire, "server").get("server_name", "redis")


def version(wire: Wire) -> str:
    """`valkey 8.1.8`, `redis 7.2.4`."""
    server = wires.info(wire, "server")
    return f"valkey {server['valkey_version']}" if "valkey_version" in server else f"redis {server['redis_version']}"


def rdb_version(wire: Wire) -> int:
    """The number of the RDB format that the server writes, from the footer (2 bytes, then 8 of checksum) of its functions' dump."""
    try:
        dumped = wire.call("FUNCTION", "DUMP")
    except ErrorReply as error:
        if error.code == "ERR":
            return _RDB_VERSION_BEFORE_7
        raise
    if len(dumped) < 10:
        raise errors.StoreError(f"{wire.name} dumps its functions as {dumped!r}, which is no known format; is it Redis or Valkey?")
    return int.from_bytes(dumped[-10:-8], "little")


def pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    """An answer that lists names and values in turn, as a mapping."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
