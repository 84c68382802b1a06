"""Public names in any name server that takes signed dynamic updates (RFC 2136, TSIG RFC 8945): BIND, Knot, PowerDNS, Microsoft ...

A name `redis` of the zone `example.org` is the SRV record `_redis._tcp.example.org` (RFC 2782) with the A records of its targets. Both
change in one update, which the server takes as a whole or not at all.
"""

import base64
from collections.abc import Callable

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update

from drplatform.model import errors
from drplatform.model.clock import Clock, wait_for
from drplatform.model.ports import Address, Answer, NameServer

SECONDS_TO_CHANGE = 10.0
_ALGORITHM = "hmac-sha256"


def connect(server: NameServer, clock: Clock) -> "Names":
    """Raises SettingsError when the zone's key is missing or none."""
    if server.credentials is None:
        raise errors.SettingsError(f"The name server {server.address} needs a TSIG key (name and base64 secret) for changes.")
    try:
        base64.b64decode(server.credentials.password.reveal(), validate=True)
        secret = dns.tsig.Key(server.credentials.user, server.credentials.password.reveal(), _ALGORITHM)
    except (ValueError, dns.exception.DNSException) as error:
        raise errors.SettingsError(f"The TSIG key {server.credentials.user} is no base64 ({type(error).__name__}).") from None
    return Names(server, secret, clock)


class Names:
    """ports.Traffic."""

    def __init__(self, server: NameServer, key: dns.tsig.Key, clock: Clock) -> None:
        self.ttl = server.ttl
        self._at, self._key, self._clock = server.address, key, clock
        self._zone = dns.name.from_text(server.zone)

    def point(self, name: str, to: tuple[Address, ...]) -> None:
        if not to:
            raise errors.StoreError(f"The name {name} must point somewhere; name at least one address.")
        self._change(self._update(name, to), f"change {name}")
        wait_for(
            self._clock,
            f"{self._at} to answer that {name} is at {', '.join(map(str, to))}",
            lambda: set(self.lookup(name).addresses),
            within=SECONDS_TO_CHANGE,
            ignoring=(errors.StoreError,),
            until=lambda seen: seen == set(to),
        )

    def lookup(self, name: str, timeout: float = 1.0) -> Answer:
        deadline = self._clock.monotonic() + timeout
        service = self._service(name)
        found = [record for rrset in self._ask(service, "SRV", deadline).answer for record in rrset if hasattr(record, "target")]
        if not found:
            raise errors.StoreError(f"{self._at} knows no {service}; was it ever set?")
        addresses, ttl = list[Address](), self.ttl
        for record in sorted(found, key=lambda r: (r.priority, str(r.target))):
            for rrset in self._ask(record.target, "A", deadline).answer:
                ttl = min(ttl, rrset.ttl)
                addresses += [Address(str(a.address), int(record.port)) for a in rrset if hasattr(a, "address")]
        if not addresses:
            raise errors.StoreError(f"{service} points to a name without an address; set it again.")
        return Answer(tuple(addresses), ttl)

    def close(self) -> None:
        """Nothing is held between calls."""

    # -- details

    def _service(self, name: str) -> dns.name.Name:
        return dns.name.from_text(f"_{name}._tcp", self._zone)

    def _update(self, name: str, to: tuple[Address, ...]) -> dns.update.UpdateMessage:
        change = dns.update.UpdateMessage(self._zone, keyring=self._key)
        service, seconds = self._service(name), max(1, round(self.ttl))
        change.delete(service, "SRV")
        for number, address in enumerate(to, 1):
            target = dns.name.from_text(f"{name}-{number}", self._zone)
            change.replace(target, seconds, "A", address.host)
            change.add(service, seconds, "SRV", f"{number} 10 {address.port} {target}")
        return change

    def _change(self, message: dns.update.UpdateMessage, what: str) -> None:
        """By TCP: an update of which the answer is lost could not be told from one that never came."""
        answer = self._spoken(lambda: dns.query.tcp(message, self._at.host, timeout=SECONDS_TO_CHANGE, port=self._at.port), what)
        if answer.rcode() != dns.rcode.NOERROR:
            told = dns.rcode.to_text(answer.rcode())
            raise errors.StoreError(f"The name server {self._at} refused to {what} ({told}); may this key change the zone {self._zone}?")

    def _ask(self, name: dns.name.Name, kind: str, deadline: float) -> dns.message.Message:
        left = max(0.001, deadline - self._clock.monotonic())
        query = dns.message.make_query(name, kind)
        return self._spoken(lambda: dns.query.udp_with_fallback(query, self._at.host, timeout=left, port=self._at.port)[0], f"find {name}")

    def _spoken(self, speak: Callable[[], dns.message.Message], what: str) -> dns.message.Message:
        try:
            return speak()
        except (OSError, dns.exception.DNSException) as error:
            if isinstance(error, dns.tsig.PeerError) or "TSIG" in str(error):  # some answer a bad signature without one of their own
                raise errors.StoreError(
                    f"The name server {self._at} refused to {what}: {type(error).__name__}; is the TSIG key right, and its clock?"
                ) from error
            raise errors.StoreError(f"The name server {self._at} did not {what} ({type(error).__name__}: {error}); is it up?") from error
