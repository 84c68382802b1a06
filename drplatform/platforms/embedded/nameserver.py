"""The command line of the platform's name server, its zone and its key, and how one sees that it answers."""

import sys
from collections.abc import Mapping
from pathlib import Path

import dns.exception
import dns.message
import dns.query

from drplatform.model.ports import Address
from drplatform.model.secret import Secret
from drplatform.platforms.embedded import layout

KIND = "rfc2136"
ZONE = "drplatform.test."
KEY_NAME = "drplatform."
TTL = 2.0
"""Seconds for which clients may remember a name: short, as before any failover that is to be quick."""
_ZONE = f"""$ORIGIN {ZONE}
@ 60 IN SOA ns hostmaster 1 60 60 600 1
@ 60 IN NS ns
ns 60 IN A {{host}}
"""


class Names:
    """One authoritative name server for the zone. The key is in a private file, never in arguments."""

    transient: tuple[type[Exception], ...] = (OSError, dns.exception.DNSException)

    def __init__(self, key: Secret) -> None:
        self._key = key

    def command(self, place: layout.Place, port: int, disk: Path, settings: Mapping[str, str]) -> list[str]:
        zone, key = disk / "zone", disk.parent / "update.key"
        key.touch(mode=0o600)
        key.write_text(f"{KEY_NAME} {self._key.reveal()}\n")
        if not zone.exists():
            zone.write_text(_ZONE.format(host=place.host))
        program = [sys.executable, "-m", "drplatform.platforms.embedded.authoritative"]
        return [*program, "--listen", f"{place.host}:{port}", "--zone", str(zone), "--key", str(key)]

    def environment(self) -> Mapping[str, str]:
        return {}

    def answers(self, place: layout.Place, address: Address) -> bool:
        query = dns.message.make_query(ZONE, "SOA")
        return bool(dns.query.udp(query, address.host, timeout=0.5, port=address.port).answer)
