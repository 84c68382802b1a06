"""Another region takes over: after a disaster (failover), as planned (switchover), and the way back (rejoin). Runbooks of steps.

Every step may be done again: promotion, names and fences are looked at before they are changed, so a runbook that was cut off is followed
again from its beginning. Stamps no recovery time: that is the probers'.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TypeVar

from drplatform.engine import activation, divergence, naming, runbook
from drplatform.engine.divergence import Divergence
from drplatform.engine.following import Following
from drplatform.engine.kit import Kit
from drplatform.engine.watch import SECONDS_DOWN, Watch
from drplatform.model import errors, ports, replication
from drplatform.model.timeline import Timeline

T = TypeVar("T")

SECONDS_TO_SEE = 60.0
SECONDS_TO_SERVE = 60.0
SECONDS_TO_HAND_OVER = 10.0
SECONDS_TO_SYNC = 3600.0
SECONDS_OF_PATIENCE = 10.0


@dataclass(frozen=True)
class Saved:
    """The stores of which what a rejoining region alone had was saved by a run that was cut off: its disks may be empty since. `note` adds one."""

    before: tuple[str, ...] = ()
    note: Callable[[str], object] = lambda store: None


NOTHING_SAVED = Saved()


@dataclass
class Regions:
    """Moves service between the regions of a platform. `serving` is the region that serves; `divergences` what rejoining regions alone held.

    `approve` decides on a failover, knowing what it may cost each store (seconds of writes; None: not known). `following` are the followers
    of stores without replication of their own that run here.
    """

    kit: Kit
    timeline: Timeline
    watch: Watch
    stores: tuple[str, ...]
    serving: str = "primary"
    approve: Callable[[Mapping[str, float | None]], bool] = lambda costs: True
    following: dict[str, Following] = field(default_factory=dict)
    divergences: list[Divergence] = field(default_factory=list)
    fences: dict[str, float] = field(default_factory=dict)
    """By store, when (monotonic seconds) the region that was left was seen to serve it no more."""
    pointed: list[naming.Pointed] = field(default_factory=list)
    """Where public names were pointed to, in that order."""
    _parted: dict[str, tuple[str, str]] = field(default_factory=dict)
    _moved: datetime | None = None
    """When service moved last: until then the regions' copies of followed stores were in step, as far as the follower had come."""

    # -- what can be done -------------------------------------------------------------------------------------------------------

    def follow(self, store: str, source: str, target: str) -> None:
        """Replicate the store from one region into the other from now on, until it is stopped."""
        self.stop_following(store)
        kind = self._kind(store)
        ends = [self.kit.connect(_impatient(self._regional.endpoint_in(region, kind))) for region in (source, target)]
        if not isinstance(ends[0], ports.Replicable):
            raise errors.SettingsError(f"{store} replicates by itself; only stores without replication of their own are followed.")
        self.following[store] = Following(ends[0], ends[1], self.kit.clock, self._moved, (source, target))
        self.following[store].start()

    def part(self) -> None:
        """The regions are parted, and with them what follows from one into the other."""
        for store in tuple(self.following):
            self._parted[store] = self.following[store].regions
            self.stop_following(store)

    def reunite(self) -> None:
        """Followers go on, unless another region serves by now: then nobody may follow the one that was left."""
        for store, (source, target) in self._parted.items():
            if source == self.serving:
                self.follow(store, source, target)
        self._parted.clear()

    def stop_following(self, store: str) -> None:
        if found := self.following.pop(store, None):
            found.stop()

    def fail_over(self, to: str, *, resumed: bool = False) -> None:
        """The region takes over from one that is lost. Raises RecoveryFailed naming the step that did not come true.

        `resumed`: the decision was made before; what was begun then is only brought to its end.
        """
        self._moved = self.kit.clock.utc()
        self._run(self.failover(to, resumed=resumed))
        self.serving = to

    def failover(self, to: str, *, resumed: bool = False) -> tuple[runbook.Step | runbook.Together, ...]:
        """The steps of it."""
        lost = self.serving
        return (
            *(() if resumed else (self._detect(),)),
            self._decide(to),
            runbook.Together((*activation.retire(self.kit, lost), *(self._fence(s, lost) for s in self.stores))),
            runbook.Together(tuple((self._promote(s, lost, to), *self._switch(s, to), self._verify(s)) for s in self.stores)),
            *activation.activate(self.kit, self.timeline, to),
        )

    def switch_over(self, to: str) -> None:
        """The region takes over as planned, without losing an acknowledged write. `turn_round` makes the old one follow."""
        self._moved = self.kit.clock.utc()
        self._run(self.switchover(to))
        self.serving = to

    def switchover(self, to: str) -> tuple[runbook.Step | runbook.Together, ...]:
        """The steps of it."""
        old = self.serving
        return (
            self._in_step(to),
            *activation.retire(self.kit, old),
            runbook.Together(tuple((self._hand_over(s, old, to), *self._switch(s, to), self._verify(s)) for s in self.stores)),
            *activation.activate(self.kit, self.timeline, to),
        )

    def turn_round(self, region: str, *, followed: bool = True) -> None:
        """The region follows the one that serves, in the stores that do not do so by themselves (`followed`: by this process)."""
        self._run(tuple(self._reverse(s, region, followed) for s in self.stores if not self.replicates(s)))

    def rejoin(self, region: str, *, followed: bool = True, saved: Saved = NOTHING_SAVED) -> None:
        """A region that was lost comes back as a follower; what it alone had is found and saved before its disks are given up.

        `followed`: stores without replication of their own are followed from here on, by this process.
        """
        self._run(self.rejoining(region, followed=followed, saved=saved))

    def rejoining(self, region: str, *, followed: bool = True, saved: Saved = NOTHING_SAVED) -> tuple[runbook.Step | runbook.Together, ...]:
        """The steps of it: of all stores at once, each read before it is given up."""

        def back(store: str) -> runbook.Step:
            return self._rejoin(store, region) if self.replicates(store) else self._reverse(store, region, followed)

        return (runbook.Together(tuple((self._read_alone(s, region, saved), back(s)) for s in self.stores)),)

    def close(self) -> None:
        for store in tuple(self.following):
            self.stop_following(store)

    # -- steps of a failover ----------------------------------------------------------------------------------------------------

    def _detect(self) -> runbook.Step:
        def down() -> bool:
            return any(self.watch.down(s) for s in self.stores)

        why = f"A service that fails every probe for {SECONDS_DOWN:g} s is down; one failed probe may be chance."
        return runbook.Step("See that the region is down", "detect", lambda: None, down, SECONDS_TO_SEE, why)

    def _decide(self, to: str) -> runbook.Step:
        costs: dict[str, float | None] = {}

        def act() -> None:
            costs.update({s: self._cost(s, to) for s in self.stores})
            if not self.approve(costs):
                raise errors.SettingsError("The failover was not approved; nothing was changed.")
            self.timeline.add("failover.decided", to=to, seconds_that_may_be_lost=dict(costs))

        return runbook.Step(
            f"Decide to fail over to the {to} region", "decide", act, lambda: bool(costs), 30, "What it costs is known: the replicas' lag."
        )

    def _fence(self, store: str, lost: str) -> runbook.Step:
        kind = self._kind(store)

        def fenced() -> bool:
            if any(i.running() for r in self.kit.platform.regions if r.name == lost for i in r.of(kind)):
                return False
            self.fences.setdefault(store, self.kit.clock.monotonic())
            return True

        return runbook.Step(
            f"Fence {store} in the {lost} region",
            "fence",
            partial(self._provisioning.fence, lost, kind),
            fenced,
            SECONDS_TO_SERVE,
            "It must not take writes when it comes back.",
        )

    def _promote(self, store: str, lost: str, to: str) -> runbook.Step:
        kind = self._kind(store)
        done: list[str] = []

        def act() -> None:
            if self.replicates(store):
                survivors = tuple(a for r in self.kit.platform.regions if r.name != lost for a in self._addresses(r.name, kind))
                promoted = self._with_group(store, lambda group: group.promote(survivors, self._addresses(lost, kind)))
                done.append(str(promoted))
            else:
                self.stop_following(store)
                self._regional.resume(to, kind)  # a switchover that was cut off has fenced it
                done.append(to)
            self._regional.serve_from(to, kind)
            self.timeline.add("store.promoted", store=store, at=done[-1])

        return runbook.Step(f"Promote {store} in the {to} region", "promote", act, lambda: bool(done), SECONDS_TO_SERVE)

    def _switch(self, store: str, to: str) -> tuple[runbook.Step, ...]:
        """None for a store whose clients need no name."""
        traffic, addresses = self.kit.traffic, self._addresses(to, self._kind(store))
        if traffic is None or store not in named(self.kit, self.stores):
            return ()

        def act() -> None:
            began = self.kit.clock.monotonic()
            traffic.point(store, addresses)
            self.pointed.append(naming.Pointed(store, to, addresses, began, self.kit.clock.monotonic()))

        return (
            runbook.Step(
                f"Point the name of {store} to the {to} region",
                "switch",
                act,
                lambda: set(traffic.lookup(store).addresses) == set(addresses),
                SECONDS_TO_SERVE,
                "Clients that remember the old answer come back when its time to live is over.",
            ),
        )

    def _verify(self, store: str) -> runbook.Step:
        began = self.kit.clock.monotonic()

        def act() -> None:
            nonlocal began
            began = self.kit.clock.monotonic()

        return runbook.Step(
            f"See that {store} serves its users",
            "verify",
            act,
            lambda: self.watch.served(store, began),
            SECONDS_TO_SERVE,
            "Users read what was written before and have new writes acknowledged, through the public name.",
        )

    # -- steps of a switchover --------------------------------------------------------------------------------------------------

    def _in_step(self, to: str) -> runbook.Step:
        def in_step() -> bool:
            watched = [s for s in self.stores if self.replicates(s) or s in self.following]
            return all((cost := self._cost(s, to)) is not None and cost < SECONDS_TO_HAND_OVER for s in watched)

        return runbook.Step(
            f"See that the {to} region is in step",
            "detect",
            lambda: None,
            in_step,
            SECONDS_TO_SEE,
            "A follower far behind would make users wait.",
        )

    def _hand_over(self, store: str, old: str, to: str) -> runbook.Step:
        kind = self._kind(store)
        done: list[str] = []

        def act() -> None:
            if self.replicates(store):
                self._with_group(store, lambda group: group.hand_over(self._addresses(to, kind), SECONDS_TO_HAND_OVER))
            elif self.kit.platform.endpoint(kind).addresses != self._addresses(to, kind):
                self._drain(store, old, to)  # only once: what clients wrote since must not be taken for something to be undone
            self._regional.serve_from(to, kind)
            done.append(to)

        return runbook.Step(
            f"Hand {store} over to the {to} region",
            "promote",
            act,
            lambda: bool(done),
            SECONDS_TO_SERVE,
            "The old one takes no write until the new one has all.",
        )

    def _drain(self, store: str, old: str, to: str) -> None:
        """No client reaches the old servers any more; what they took last is followed to its end."""
        kind = self._kind(store)
        self.stop_following(store)
        self._provisioning.fence(old, kind)
        (alone,) = self._regional.isolate(old, kind)
        last = Following(self.kit.connect(alone), self.kit.connect(self._regional.endpoint_in(to, kind)), self.kit.clock)
        try:
            last.start()
        finally:
            last.stop()
        self._provisioning.fence(old, kind)

    def _reverse(self, store: str, region: str, followed: bool) -> runbook.Step:
        """The region's servers run again, and follow the one that serves."""
        kind = self._kind(store)

        def act() -> None:
            self._regional.resume(region, kind)
            if followed:
                self.follow(store, self.serving, region)

        def running() -> bool:
            return all(i.running() for r in self.kit.platform.regions if r.name == region for i in r.of(kind))

        return runbook.Step(
            f"Replicate {store} into the {region} region", "rejoin", act, running, SECONDS_TO_SYNC, "Until then one more failure loses it."
        )

    # -- steps of a rejoin ------------------------------------------------------------------------------------------------------

    def _read_alone(self, store: str, region: str, saved: Saved) -> runbook.Step:
        kind = self._kind(store)
        found: list[Divergence] = []

        def act() -> None:
            if store in saved.before:
                return
            endpoints = self._regional.isolate(region, kind)
            found.append(divergence.read(self.kit, store, region, endpoints))
            saved.note(store)
            self._provisioning.fence(region, kind)
            self.timeline.add(
                "divergence.read", store=store, region=region, writes=len(found[0].marks), backups=[m.id for m in found[0].saved]
            )

        def read() -> bool:
            if found and found[0] not in self.divergences:
                self.divergences.append(found[0])
            return bool(found) or store in saved.before

        return runbook.Step(
            f"Save what {store} in the {region} region alone has",
            "rejoin",
            act,
            read,
            SECONDS_TO_SYNC,
            "Writes that were acknowledged there and nowhere else are never dropped silently.",
        )

    def _rejoin(self, store: str, region: str) -> runbook.Step:
        kind = self._kind(store)

        def running() -> bool:
            return all(i.running() for r in self.kit.platform.regions if r.name == region for i in r.of(kind))

        return runbook.Step(
            f"Bring {store} back in the {region} region",
            "rejoin",
            partial(self._provisioning.rejoin, region, kind),
            running,
            SECONDS_TO_SYNC,
        )

    # -- how they see -----------------------------------------------------------------------------------------------------------

    def _run(self, steps: Iterable[runbook.Step | runbook.Together]) -> None:
        runbook.follow(steps, self.kit.clock, self.timeline)

    def state(self, store: str) -> replication.Replication:
        """The replication of a store, asked of all its servers in all regions."""
        return self._with_group(store, lambda group: group.replication())

    def _cost(self, store: str, to: str) -> float | None:
        """Seconds of writes that going on in that region would lose now."""
        if not self.replicates(store):
            return self.following[store].lag() if store in self.following else None
        survivors = frozenset(str(a) for a in self._addresses(to, self._kind(store)))
        return replication.cost(self.state(store), survivors)

    def replicates(self, store: str) -> bool:
        return isinstance(self.kit.stores[store], ports.Replicated)

    def _with_group(self, store: str, use: Callable[[ports.Replicated], T]) -> T:
        group = group_of(self.kit, store)
        try:
            assert isinstance(group, ports.Replicated)
            return use(group)
        finally:
            group.close()

    def _addresses(self, region: str, kind: str) -> tuple[ports.Address, ...]:
        has = any(r.of(kind) for r in self.kit.platform.regions if r.name == region)
        return self._regional.endpoint_in(region, kind).addresses if has else ()

    def _kind(self, store: str) -> str:
        return self.kit.policy.stores[store].kind

    @property
    def _regional(self) -> ports.MultiRegion:
        assert isinstance(self.kit.platform, ports.MultiRegion)  # the plan has made sure
        return self.kit.platform

    @property
    def _provisioning(self) -> ports.Provisionable:
        assert isinstance(self.kit.platform, ports.Provisionable)
        return self.kit.platform


def _impatient(endpoint: ports.Endpoint) -> ports.Endpoint:
    """For a follower, which tries again by itself: a failover waits for what it has begun, and the lost region may never answer."""
    return replace(endpoint, options={**endpoint.options, "patience": f"{SECONDS_OF_PATIENCE:g}"})


def serving(kit: Kit, stores: Iterable[str]) -> str:
    """The region to which the stores' public names belong. Raises SettingsError when that cannot be told."""
    platform = kit.platform
    assert isinstance(platform, ports.MultiRegion)
    for kind in (kit.policy.stores[s].kind for s in stores):
        for region in platform.regions:
            if region.of(kind) and platform.endpoint_in(region.name, kind).addresses == platform.endpoint(kind).addresses:
                return region.name
    raise errors.SettingsError("Which region serves cannot be told: no store's public name belongs to one region alone.")


def group_of(kit: Kit, store: str) -> ports.DataStore:
    """The store at the addresses of all its servers, in all regions. The caller closes it."""
    kind, platform = kit.policy.stores[store].kind, kit.platform
    assert isinstance(platform, ports.MultiRegion)
    places = [platform.endpoint_in(r.name, kind) for r in platform.regions if r.of(kind)]
    return kit.connect(replace(places[0], addresses=tuple(a for place in places for a in place.addresses)))


def named(kit: Kit, stores: Iterable[str]) -> tuple[str, ...]:
    """The stores that clients find by a public name. MongoDB's know all members of the set, and find its primary themselves."""
    return tuple(s for s in stores if kit.traffic is not None and kit.policy.stores[s].kind != "mongodb")
