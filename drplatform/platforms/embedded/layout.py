"""Where everything of one platform is: addresses, ports, names. Drawn once, kept in the platform's directory, read again by `attach`.

Each region and the vault have a loopback address of their own inside 127/8, so that a region can be told by its address and ports of
one platform cannot collide with those of another. Ports are the operating system's choice, except those of S3 servers: these bind
127.0.0.1 as well and refuse to start when a port is taken there, be it by a client's connection. So theirs lie below the range from which
connections get their ports (ip_local_port_range, ip(7)), in a row that begins at random.
"""

import base64
import contextlib
import itertools
import json
import secrets
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from drplatform.model import errors

PRIMARY, SECONDARY, WITNESS, VAULT, OUTSIDE = "primary", "secondary", "witness", "vault", "names"
REGIONS = (PRIMARY, SECONDARY)
_LAST_OCTET = {PRIMARY: 1, SECONDARY: 2, WITNESS: 3, VAULT: 9, OUTSIDE: 10}

MONGODB, REDIS, FILES, DNS = "mongodb", "redis", "files", "names"
KINDS = (MONGODB, REDIS, FILES)

NAMES = "names"
"""Wanted: a name server outside the regions, for public names that move."""
ALONE = "alone:"
_COUNTS = {MONGODB: {PRIMARY: 2, SECONDARY: 1}, REDIS: {PRIMARY: 1, SECONDARY: 1}, FILES: {PRIMARY: 1, SECONDARY: 1}}
_WITH_WITNESS = {**_COUNTS, MONGODB: {PRIMARY: 1, SECONDARY: 1, WITNESS: 1}}

PUBLIC, PRIVATE, DOOR = "public", "private", "door"
_S3_PARTS = ("master", "volume", "filer", "admin")
_S3_PORTS = (*(f"{part}.port{end}" for part in _S3_PARTS for end in ("", ".grpc")), "s3.port.grpc")

CONNECTION_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST, _ROOM = 10_000, 100

FILE = "platform.json"


@dataclass(frozen=True)
class Place:
    """Where one server is. `ports` holds its public and private port, and further ones by the names of its command-line options."""

    name: str
    kind: str
    region: str
    host: str
    ports: Mapping[str, int]


@dataclass(frozen=True)
class Layout:
    """All of one platform. Holds S3 keys and that of the names: written with mode 0600 only."""

    servers: tuple[Place, ...]
    vault: Place
    replica_set: str
    access_key: str
    secret_key: str
    sse_key: str
    names: Place | None = None
    names_key: str = ""

    @property
    def regions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(place.region for place in self.servers))

    def save(self, directory: Path) -> None:
        (directory / FILE).touch(mode=0o600)
        (directory / FILE).write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, directory: Path) -> "Layout":
        """Raises SettingsError when the directory holds no platform."""
        try:
            read = json.loads((directory / FILE).read_text())
            places = tuple(Place(**place) for place in read.pop("servers"))
            names = Place(**found) if (found := read.pop("names")) else None
            return cls(servers=places, vault=Place(**read.pop("vault")), names=names, **read)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise errors.SettingsError(f"{directory} holds no platform ({error}); see: drplatform platform status") from error


def draw(wanted: frozenset[str] = frozenset()) -> Layout:
    """A new layout with free ports: two MongoDB members in the primary region and one in the secondary, one of the others in each.

    `wanted` may hold WITNESS (MongoDB: one member in each region and one in a third place, so that any two are a majority), NAMES, and, for
    each kind of server that is used, ALONE with the kind: the others are left out.
    """
    counts = _WITH_WITNESS if WITNESS in wanted else _COUNTS
    used = {one.removeprefix(ALONE) for one in wanted if one.startswith(ALONE)} or set(KINDS)
    network = f"127.{secrets.randbelow(254) + 1}.{secrets.randbelow(254) + 1}"
    with contextlib.ExitStack() as reserved:  # ports stay taken until all are drawn, so that none is drawn twice
        low = _low_ports(reserved)
        places = [
            _place(reserved, low, network, kind, region, number)
            for region in (*REGIONS, WITNESS)
            for kind in KINDS
            if kind in used
            for number in range(1, counts[kind].get(region, 0) + 1)
        ]
        vault = _place(reserved, low, network, FILES, VAULT, 1)
        names = _place(reserved, low, network, DNS, OUTSIDE, 1) if NAMES in wanted else None
    keys = secrets.token_hex(10), secrets.token_hex(20), secrets.token_hex(32)
    return Layout(tuple(places), vault, "drplatform", *keys, names, base64.b64encode(secrets.token_bytes(32)).decode())


def _place(reserved: contextlib.ExitStack, low: Iterator[int], network: str, kind: str, region: str, number: int) -> Place:
    host = f"{network}.{_LAST_OCTET[region]}"
    if kind == FILES:
        ports = {name: next(low) for name in (PUBLIC, PRIVATE, DOOR, *_S3_PORTS)}
    else:
        ports = {name: _reserve(reserved, host, 0) for name in (PUBLIC, PRIVATE)}
    return Place(f"{kind}-{region}-{number}", kind, region, host, ports)


def _low_ports(reserved: contextlib.ExitStack) -> Iterator[int]:
    """Ports that are free on every address and that no connection is given."""
    end = int(CONNECTION_PORTS.read_text().split()[0])
    first = _LOWEST + secrets.randbelow(max(1, end - _LOWEST - _ROOM))
    for port in itertools.chain(range(first, end), range(_LOWEST, first)):
        with contextlib.suppress(errors.SettingsError):
            yield _reserve(reserved, "", port)
    raise errors.SettingsError(f"No free ports are left between {_LOWEST} and {end}; end something that listens there.")


def _reserve(reserved: contextlib.ExitStack, host: str, port: int) -> int:
    """Port 0: one of the operating system's choice."""
    taken = reserved.enter_context(socket.socket())
    try:
        taken.bind((host, port))
    except OSError as error:
        raise errors.SettingsError(f"No port can be had on {host} ({error}); this machine's loopback must serve all of 127/8.") from error
    return int(taken.getsockname()[1])
