"""The users of a drill: clients that write, and probers that see what a user would have seen. They are started, watched, and stopped."""

import dataclasses
import functools
from collections.abc import Callable, Mapping

from drplatform.engine import examination, failover, naming
from drplatform.engine import record as records
from drplatform.engine.kit import Kit
from drplatform.engine.naming import Client
from drplatform.engine.probing import Probing
from drplatform.engine.workload import User, Workload
from drplatform.model import errors, ports
from drplatform.model.clock import wait_for

PROBE_PERIOD = 0.02
PERIOD_BESIDE = 0.02
"""Seconds between a client's writes to the other stores while this process follows one: two clients then write every 10 ms, on average."""
FOLLOWED_PERIOD = 0.1
"""Seconds between a client's writes to a store that a follower of ours replicates from this very process: more, and it would fall behind."""
OTHER_PERIOD = 0.2
"""Of further kinds of clients, which connect for every probe."""
SLOWER, STEPS = 2.0, 3
"""Where answers do not come with ease, everybody uses the stores half as often, and waits twice as long for an answer; at the most three times so."""
SECONDS_AT_A_PACE, SECONDS_AT_THE_LAST = 6.0, 30.0
"""How long users may take, at a pace, until answers come with ease; and at the slowest, until they come at all."""
SECONDS_OF_ANSWERS = 0.3
"""For which users are to be served without a failure before a drill goes on."""
SECONDS_TO_WRITE = 60.0
"""How long a store may take to acknowledge some dozens of writes."""
SECONDS_TO_SEE_ALL = 120.0
"""How long, after a move, until every kind of client is seen served for a second at once. It is generous: recovery times are told by the samples."""
SECONDS_TO_SETTLE = 30.0
"""How long, at the end, users may take to be seen served for a second without a failure."""


class Users:
    """`probing` are those whose outages are measured, by store; `others` further kinds of clients, by store and kind."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self.workload: Workload | None = None
        self.probing: dict[str, Probing] = {}
        self.others: dict[str, dict[str, Probing]] = {}
        self.ended = False
        self._staying: list[ports.DataStore] = []
        self.remembering: dict[str, naming.PublicName] = {}
        """The names of stores for clients that believe an answer as long as the name server allowed."""

    def start(self, stores: tuple[str, ...], seed: int, followed: tuple[str, ...], *, weakly: bool) -> float:
        """Returns when they are served: how many times slower than usual everybody goes about it (see `_find_pace`).

        `followed` stores are replicated from this process; `weakly`: see `drill.Write`.
        """
        clock = self._kit.clock
        self._point_names(stores)
        users = {name: self._user(name, weakly=weakly) for name in stores}
        slower = {**(dict.fromkeys(stores, PERIOD_BESIDE) if followed else {}), **dict.fromkeys(followed, FOLLOWED_PERIOD)}
        self.workload = Workload(users, self._kit.directory / "ledger.jsonl", clock, seed, slower=slower)
        self.workload.start()
        for name, user in users.items():
            mark, payload = self.workload.anchor(name)
            self.probing[name] = Probing(user, mark, payload, clock, period=PROBE_PERIOD)
            names = self._by_name(name)
            self.others[name] = {k.value: Probing(one, mark, payload, clock, period=OTHER_PERIOD) for k, one in names.items()}
            if Client.CACHED in names:
                self.remembering[name] = names[Client.CACHED]
        for probing in self._all():
            probing.start()
        return self._find_pace(stores)

    def stay(self, stores: tuple[str, ...], region: str) -> None:
        """Clients that know nothing but the region's servers."""
        assert self.workload
        platform = self._kit.platform
        assert isinstance(platform, ports.MultiRegion)  # the plan has made sure
        for name in stores:
            there = platform.endpoint_in(region, self._kit.policy.stores[name].kind)
            store = self._kit.connect(_weakly(there) if there.kind == "mongodb" else there)
            self._staying.append(store)
            self.workload.stay(name, store)

    def leave(self) -> None:
        """Those that stayed are gone."""
        if self.workload:
            self.workload.leave()
        while self._staying:
            self._staying.pop().close()

    def stops(self) -> list[Callable[[], object]]:
        """What ends them all; each to be called, whatever the others raise. From now on nobody waits for what they see."""
        self.ended = True
        found: list[Callable[[], object]] = [p.stop for p in self._all()]
        return [*found, self.leave, self.workload.stop] if self.workload else found

    def await_writes(self, stores: tuple[str, ...], writes: int) -> None:
        """So many more are acknowledged by each. Raises DeadlineExceeded."""
        assert self.workload
        for name in stores:
            self.workload.wait_for_acks(name, writes, within=SECONDS_TO_WRITE)

    def await_answers(self, stores: tuple[str, ...], within: float, throughout: float = SECONDS_OF_ANSWERS) -> None:
        """Users are served for so many seconds without a failure, from now on. Raises DeadlineExceeded."""
        after = self._kit.clock.monotonic()
        for name in stores:
            self._await_answers(name, after, within, throughout)

    def go_on(self, stores: tuple[str, ...]) -> None:
        """Users are seen served, and clients go on writing, after a recovery. Raises DeadlineExceeded."""
        self.await_writes(stores, 20)
        self.await_answers(stores, 30.0)

    def all_served(self, stores: tuple[str, ...]) -> None:
        """Every kind of client is seen served, throughout, all of them in the same second. Raises DeadlineExceeded."""
        self.go_on(stores)
        after, probers = self._kit.clock.monotonic(), self._all()

        def served() -> bool:
            return all(p.sustained(after, lasting(p)) for p in probers)

        wait_for(self._kit.clock, "every kind of client to be served", served, within=SECONDS_TO_SEE_ALL, every=0.1)

    def last_served(self) -> Mapping[str, float]:
        """When each store's users were last seen served throughout. A slow probe now and then is no outage; one that lasts is."""
        found, after = {}, self._kit.clock.monotonic()
        for name in self.probing:
            left = max(0.0, after + SECONDS_TO_SETTLE - self._kit.clock.monotonic())
            if self.served(name, left, lasting(self.probing[name]), after):
                found[name] = self._kit.clock.monotonic()
        return found

    def served(self, store: str, within: float, throughout: float, after: float | None = None) -> bool:
        """Whether, since `after` (by default now), the store's users are served so long without a failure, within so many seconds."""
        try:
            self._await_answers(store, self._kit.clock.monotonic() if after is None else after, within, throughout)
        except errors.DeadlineExceeded:
            return False
        return True

    def served_at_end(self, store: str) -> bool:
        return examination.served_at_end(self.probing[store].samples())

    def _await_answers(self, store: str, after: float, within: float, throughout: float) -> None:
        served = functools.partial(self.probing[store].sustained, after, throughout)
        wait_for(self._kit.clock, f"{store} to answer users", served, within=within)

    def _find_pace(self, stores: tuple[str, ...]) -> float:
        """Slow everybody down until answers come with time to spare, for as long as the drill lasts.

        On a slow machine, or over a long way, more users than it can bear would only see each other's load: answers come late, users
        connect anew, and answers come later still. What is measured has wider bounds then, and is not the better for it.
        """
        assert self.workload
        times = 1.0
        for _ in range(STEPS):
            if self._at_ease(stores):
                return times
            times *= SLOWER
            self.workload.slow_down(SLOWER)
            for probing in self._all():
                probing.slow_down(SLOWER)
        self.await_answers(stores, SECONDS_AT_THE_LAST)
        return times

    def _at_ease(self, stores: tuple[str, ...]) -> bool:
        """Whether, soon, all are served for a while with ease, further kinds of clients included as far as they have been seen."""
        clock = self._kit.clock
        deadline = clock.monotonic() + SECONDS_AT_A_PACE
        while (after := clock.monotonic()) < deadline:
            try:
                for name in stores:
                    self._await_answers(name, after, deadline - clock.monotonic(), SECONDS_OF_ANSWERS)
            except errors.DeadlineExceeded:
                return False
            if all(p.at_ease(clock.monotonic() - SECONDS_OF_ANSWERS) for p in self._all()):
                return True
        return False

    def _point_names(self, stores: tuple[str, ...]) -> None:
        """The public names point to where the stores are served."""
        for name in failover.named(self._kit, stores):
            assert self._kit.traffic
            self._kit.traffic.point(name, self._kit.platform.endpoint(self._kit.policy.stores[name].kind).addresses)

    def _by_name(self, store: str) -> dict[Client, naming.PublicName]:
        """By kind of client, further users of a store that has a public name."""
        if store not in failover.named(self._kit, (store,)):
            return {}
        return {kind: naming.public(self._kit, store, kind) for kind in (Client.FRESH, Client.CACHED)}

    def _user(self, name: str, *, weakly: bool = False) -> User:
        """Whoever uses the store: by its public name where it has one."""
        endpoint = self._kit.platform.endpoint(self._kit.policy.stores[name].kind)
        if name in failover.named(self._kit, (name,)):
            return naming.public(self._kit, name)
        if weakly and endpoint.kind == "mongodb":
            return self._kit.connect(_weakly(endpoint))
        return self._kit.stores[name]

    def _all(self) -> list[Probing]:
        return [*self.probing.values(), *(p for kinds in self.others.values() for p in kinds.values())]


def lasting(probing: Probing) -> float:
    """For how many seconds a prober is to see service without a failure, so that what it saw has an end beyond doubt (see `outage.outage`)."""
    return records.SUSTAIN + max(records.SUSTAIN, probing.timeout)


def _weakly(endpoint: ports.Endpoint) -> ports.Endpoint:
    """MongoDB's primary acknowledges alone."""
    return dataclasses.replace(endpoint, options={**endpoint.options, "write_concern": "1"})
