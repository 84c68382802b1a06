"""Clients that use a store by its public name: they look the name up, and go on where it points. Three kinds, as people write them.

POOLED keeps its connection and looks the name up again when it breaks. FRESH looks up and connects for every use. CACHED connects for every
use, but believes an answer for as long as the name server allowed, also when nobody is there any more.
"""

import enum
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from drplatform.engine.kit import Kit
from drplatform.model import errors, ports
from drplatform.model.clock import Clock
from drplatform.model.ledger import Mark


class Client(enum.StrEnum):
    POOLED = "pooled"
    FRESH = "fresh"
    CACHED = "cached"


@dataclass(frozen=True)
class Pointed:
    """The name of a store led to a region from some moment between `began` and `ended` (monotonic seconds) on."""

    store: str
    region: str
    addresses: tuple[ports.Address, ...]
    began: float
    ended: float


@dataclass(frozen=True)
class Use:
    """From `first` to `last` (monotonic seconds) clients went to these addresses, and to no others."""

    addresses: tuple[ports.Address, ...]
    first: float
    last: float


class PublicName:
    """One store by its name. `like` is the store's endpoint, of which the name server tells the addresses.

    `uses` are those of its probers, in their order, neighbouring ones of the same addresses as one.
    """

    def __init__(
        self,
        name: str,
        like: ports.Endpoint,
        connect: Callable[[ports.Endpoint], ports.DataStore],
        traffic: ports.Traffic,
        clock: Clock,
        client: Client = Client.POOLED,
    ) -> None:
        self.name, self.client, self.clock = name, client, clock
        self._like, self._connect, self._traffic = like, connect, traffic
        self._uses: list[Use] = []
        self._lock = threading.Lock()

    def marker(self, client: str) -> ports.Marker:
        """A client of the ledger, connected where the name points now. Raises StoreError."""
        store = self.reach(self.lookup(1.0))
        try:
            return _Marker(store, store.marker(client))
        except BaseException:
            store.close()
            raise

    def prober(self, anchor: Mark, payload: bytes) -> ports.Prober:
        return _Prober(self, anchor, payload)

    def lookup(self, timeout: float) -> ports.Answer:
        return self._traffic.lookup(self.name, timeout)

    @property
    def uses(self) -> Sequence[Use]:
        with self._lock:
            return tuple(self._uses)

    def used(self, addresses: tuple[ports.Address, ...], at: float) -> None:
        with self._lock:
            if self._uses and self._uses[-1].addresses == addresses:
                self._uses[-1] = replace(self._uses[-1], last=max(at, self._uses[-1].last))
            else:
                self._uses.append(Use(addresses, at, at))

    def reach(self, answer: ports.Answer) -> ports.DataStore:
        return self._connect(replace(self._like, addresses=answer.addresses))


def public(kit: Kit, store: str, client: Client = Client.POOLED) -> PublicName:
    """The store of the kit by its name."""
    assert kit.traffic, "only stores with a name are asked for"
    endpoint = kit.platform.endpoint(kit.policy.stores[store].kind)
    return PublicName(store, endpoint, kit.connect, kit.traffic, kit.clock, client)


class _Marker:
    """Closes the store with the marker."""

    def __init__(self, store: ports.DataStore, marker: ports.Marker) -> None:
        self._store, self._marker = store, marker

    def write(self, mark: Mark, payload: bytes) -> None:
        self._marker.write(mark, payload)

    def close(self) -> None:
        self._marker.close()
        self._store.close()


class _Prober:
    """Looks up, connects and probes within the time of one probe."""

    def __init__(self, public: PublicName, anchor: Mark, payload: bytes) -> None:
        self._public, self._anchor, self._payload = public, anchor, payload
        self._held: tuple[ports.DataStore, ports.Prober] | None = None
        self._known: tuple[ports.Answer, float] | None = None

    def attempt(self, number: int, timeout: float) -> None:
        deadline = self._public.clock.monotonic() + timeout
        try:
            prober = self._prober(timeout)
            left = deadline - self._public.clock.monotonic()
            if left <= 0:
                raise errors.StoreError(f"The name of {self._public.name} was found too late.")
            prober.attempt(number, left)
        except BaseException:
            self.close()
            raise
        if self._public.client is not Client.POOLED:
            self.close()

    def close(self) -> None:
        held, self._held = self._held, None
        if held:
            held[1].close()
            held[0].close()

    def _prober(self, timeout: float) -> ports.Prober:
        if self._held is None:
            store = self._public.reach(self._answer(timeout))
            self._held = store, store.prober(self._anchor, self._payload)
        return self._held[1]

    def _answer(self, timeout: float) -> ports.Answer:
        now = self._public.clock.monotonic()
        if self._public.client is not Client.CACHED or not self._known or now >= self._known[1]:
            answer = self._public.lookup(timeout)
            self._known = answer, now + answer.ttl
        self._public.used(self._known[0].addresses, now)
        return self._known[0]
