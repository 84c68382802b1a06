"""What faults on public names share: asking the name server, and changing it as whoever holds its key can (RFC 2136, TSIG RFC 8945)."""

from collections.abc import Mapping, Sequence
from typing import Any

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update

from drplatform.model import errors, ports

SECONDS = 1.0
SECONDS_TO_CHANGE = 10.0
_ALGORITHM = "hmac-sha256"


def server(scene: ports.Scene) -> ports.NameServer:
    assert isinstance(scene.platform, ports.Named)  # the plan has made sure
    return scene.platform.names()


def answers(scene: ports.Scene) -> bool:
    """Whether the zone's own record is told."""
    try:
        return bool(ask(scene, dns.name.from_text(server(scene).zone), "SOA"))
    except errors.StoreError:
        return False


def ask(scene: ports.Scene, name: dns.name.Name, kind: str) -> list[Any]:
    """The records, asked for by UDP as clients do. Raises StoreError when nobody answers."""
    at = server(scene).address
    query = dns.message.make_query(name, kind)
    try:
        answer = dns.query.udp_with_fallback(query, at.host, timeout=SECONDS, port=at.port)[0]
    except (OSError, dns.exception.DNSException) as error:
        raise errors.StoreError(f"The name server {at} does not answer ({type(error).__name__}: {error}).") from error
    return [record for rrset in answer.answer if rrset.rdtype == dns.rdatatype.from_text(kind) for record in rrset]


def hosts(scene: ports.Scene, store: str) -> dict[str, list[str]]:
    """By name, the addresses that clients of a store find (SRV records and the A records of their targets); empty: it has no public name."""
    service = dns.name.from_text(f"_{store}._tcp", dns.name.from_text(server(scene).zone))
    targets = sorted(str(record.target) for record in ask(scene, service, "SRV"))
    return {target: addresses(scene, target) for target in targets}


def addresses(scene: ports.Scene, name: str) -> list[str]:
    return sorted(str(record.address) for record in ask(scene, dns.name.from_text(name), "A"))


def set_addresses(scene: ports.Scene, wanted: Mapping[str, Sequence[str]]) -> None:
    """Replace the A records of these names, all in one update. Raises StoreError when the server refuses."""
    found = server(scene)
    if found.credentials is None:
        raise errors.SettingsError(f"The name server {found.address} needs a TSIG key (name and base64 secret) for changes.")
    key = dns.tsig.Key(found.credentials.user, found.credentials.password.reveal(), _ALGORITHM)
    change = dns.update.UpdateMessage(found.zone, keyring=key)
    for name, places in wanted.items():
        change.delete(dns.name.from_text(name), "A")
        for place in places:
            change.add(dns.name.from_text(name), max(1, round(found.ttl)), "A", place)
    try:
        answer = dns.query.tcp(change, found.address.host, timeout=SECONDS_TO_CHANGE, port=found.address.port)
    except (OSError, dns.exception.DNSException) as error:
        raise errors.StoreError(f"The name server {found.address} cannot be changed ({type(error).__name__}: {error}).") from error
    if answer.rcode() != dns.rcode.NOERROR:
        told = dns.rcode.to_text(answer.rcode())
        raise errors.StoreError(f"The name server {found.address} refused a change ({told}); may this key change {found.zone}?")
