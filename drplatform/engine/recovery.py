"""The recovery of stores from their backups alone, as a runbook: the steps that run are the document that people read.

Knows platforms, stores and the repository as ports. Stamps no recovery time: that is the prober's.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from drplatform.engine import backups, hung_step, killed_restore, runbook
from drplatform.engine.kit import Kit
from drplatform.engine.probing import Probing
from drplatform.model import consistency, drill, errors, ports
from drplatform.model.backup import Chain, Manifest
from drplatform.model.clock import wait_for
from drplatform.model.position import Position
from drplatform.model.timeline import Timeline

SECONDS_TO_SERVE = 60.0
SECONDS_TO_LOAD = 3600.0


@dataclass
class Recovered:
    """What is known of one store while it is recovered."""

    store: str
    target: str
    chain: Chain | None = None
    endpoint: ports.Endpoint | None = None
    identity: str = ""
    end: ports.RestoreEnd | None = None
    protected: Manifest | None = None


@dataclass
class Recovery:
    """Brings stores back in new servers of `region`. After `follow()`, `states` tells what was done to each store.

    `release` is called when no entry of the lost history can come any more: it ends the captures, so that all they hold is sealed.
    `namespaces` names, by store, the collection whose drop is the mistake; `moments`, where its history was just before its disaster.
    `cut_off` and `hung`: see `drill.Recover`.
    """

    kit: Kit
    timeline: Timeline
    probing: Mapping[str, Probing]
    targets: Mapping[str, str]
    region: str
    release: Callable[[], None]
    namespaces: Mapping[str, str]
    states: dict[str, Recovered] = field(default_factory=dict)
    moments: Mapping[str, Position] = field(default_factory=dict)
    cut_off: str = ""
    hung: str = ""

    def __post_init__(self) -> None:
        self.states = {store: Recovered(store, target) for store, target in self.targets.items()}

    def follow(self) -> None:
        """Follow the runbook. Raises RecoveryFailed naming the step that did not come true, Inconclusive when none hung that was to."""
        steps: Iterable[runbook.Step | runbook.Together] = self.steps()
        if self.hung and self.hung != drill.RESTORING:
            steps = hung_step.added(steps, self.hung, self.kit.clock, self.timeline)
        runbook.follow(steps, self.kit.clock, self.timeline)
        if self.hung and len(self.timeline.named(hung_step.EVENT)) < len(self.targets):
            raise errors.Inconclusive(f"Not every step of the phase {self.hung} was seen to hang; the run proves nothing of it.")

    def steps(self) -> tuple[Any, ...]:
        """Steps for all stores: what can go on at once is together."""
        return (
            *(self._detect(s) for s in self.targets),
            *(self._fence(s) for s in self.targets),
            *(self._decide(s) for s in self.targets),
            runbook.Together(tuple(self._provision(s) for s in self.targets)),
            runbook.Together(tuple((*self._kill(s), self._restore(s)) for s in self.targets)),
            runbook.Together(tuple(self._verify(s) for s in self.targets)),
            runbook.Together(tuple(self._switch(s) for s in self.targets)),
            runbook.Together(tuple(self._rejoin(s) for s in self.targets)),
            *(self._protect(s) for s in self.targets),
        )

    # -- the steps ------------------------------------------------------------------------------------------------------------

    def _detect(self, store: str) -> runbook.Step:
        def down() -> bool:
            recent = self.probing[store].samples()[-5:]
            return len(recent) == 5 and not any(sample.ok for sample in recent)

        return runbook.Step(
            f"See that {store} is down", "detect", lambda: None, down, 30, "One failed probe may be chance; five in a row are an outage."
        )

    def _fence(self, store: str) -> runbook.Step:
        kind = self._kind(store)

        def act() -> None:
            for region in self.kit.platform.regions:
                self._provisioning().fence(region.name, kind)
            self.release()

        def fenced() -> bool:
            return not any(i.running() for region in self.kit.platform.regions for i in region.of(kind))

        return runbook.Step(
            f"Fence what is left of {store}", "fence", act, fenced, SECONDS_TO_SERVE, "A survivor must not take writes that would be lost."
        )

    def _decide(self, store: str) -> runbook.Step:
        def act() -> None:
            self.states[store].chain = self._choose(store, self.states[store].target)

        return runbook.Step(
            f"Choose the recovery point of {store}",
            "decide",
            act,
            lambda: self.states[store].chain is not None,
            SECONDS_TO_SERVE,
            f"Recovered {self.states[store].target}.",
        )

    def _provision(self, store: str) -> runbook.Step:
        state, kind = self.states[store], self._kind(store)

        def act() -> None:
            state.endpoint = self._provisioning().provision(self.region, kind)
            fresh = self.kit.connect(state.endpoint)
            try:
                state.identity = fresh.identity()
            finally:
                fresh.close()

        return runbook.Step(
            f"Provision new servers for {store}",
            "provision",
            act,
            lambda: bool(state.identity),
            SECONDS_TO_SERVE,
            "They are private until published: no client can reach a half-restored store.",
        )

    def _kill(self, store: str) -> tuple[runbook.Step, ...]:
        """Where the drill says so: a restore that does not get to its end."""
        state, cut_off = self.states[store], list[str]()

        def act() -> None:
            assert state.endpoint
            killed_restore.kill_one(self.kit, store, state.endpoint, self.timeline, hangs=self.cut_off == drill.HUNG)
            cut_off.append(store)

        why = "Whoever restores may be cut off. The target says that it is unfinished, and nobody takes it for whole."
        how = "Give up the restore of {} that hangs" if self.cut_off == drill.HUNG else "Kill the restore of {} in the middle"
        step = runbook.Step(how.format(store), "restore", act, lambda: bool(cut_off), SECONDS_TO_SERVE, why)
        return (step,) if self.cut_off else ()

    def _restore(self, store: str) -> runbook.Step:
        state = self.states[store]

        def act() -> None:
            assert state.chain and state.endpoint
            fresh = self.kit.connect(state.endpoint)
            try:
                if self.cut_off:
                    state.end = self._go_on(state, fresh)
                else:
                    state.end = self._load(state, fresh)
            finally:
                fresh.close()
            if state.end.left:
                self.timeline.add("restore.left", store=store, left=list(state.end.left))
            if state.end.refused:
                raise errors.RecoveryFailed(f"Not all of {store} could be restored: {'; '.join(state.end.refused[:5])}.")

        return runbook.Step(
            f"Restore {store}",
            "restore",
            act,
            lambda: state.end is not None,
            SECONDS_TO_LOAD,
            "Every byte is checked before any is loaded.",
        )

    def _go_on(self, state: Recovered, fresh: ports.DataStore) -> ports.RestoreEnd:
        """The target may need a moment to see that nobody restores into it any more."""
        return wait_for(
            self.kit.clock,
            f"the target to let the restore of {state.store} go on",
            lambda: self._load(state, fresh),
            within=SECONDS_TO_SERVE,
            ignoring=(errors.TargetRefused,),
        )

    def _load(self, state: Recovered, fresh: ports.DataStore) -> ports.RestoreEnd:
        assert state.chain
        return backups.restore(
            state.chain,
            fresh,
            self.kit.repository,
            backups.Opener(self.kit.keys.identities),
            backups.Lease(state.store, state.identity),
            self.kit.clock,
            progress=self._progress(state.store),
            resume=bool(self.cut_off),
        )

    def _verify(self, store: str) -> runbook.Step:
        state = self.states[store]
        defects: list[str] | None = None

        def act() -> None:
            nonlocal defects
            assert state.endpoint
            fresh = self.kit.connect(state.endpoint)
            try:
                defects = fresh.validate() if isinstance(fresh, ports.Verifiable) else []
            finally:
                fresh.close()
            if defects:
                raise errors.VerificationFailed(f"The restored {store} is not sound: {'; '.join(defects[:5])}.")

        return runbook.Step(
            f"Check {store} before it serves",
            "verify",
            act,
            lambda: defects == [],
            SECONDS_TO_LOAD,
            "The server's own check of its structures.",
        )

    def _switch(self, store: str) -> runbook.Step:
        began = self.kit.clock.monotonic()

        def act() -> None:
            nonlocal began
            began = self.kit.clock.monotonic()
            self._provisioning().publish(self.region, self._kind(store))

        return runbook.Step(
            f"Switch the public name of {store}",
            "switch",
            act,
            lambda: self.probing[store].sustained(began, 0.5),
            SECONDS_TO_SERVE,
            "Done when users read what was written before and have new writes acknowledged.",
        )

    def _rejoin(self, store: str) -> runbook.Step:
        others = [r.name for r in self.kit.platform.regions if r.name != self.region]
        kind = self._kind(store)

        def act() -> None:
            for region in others:
                self._provisioning().rejoin(region, kind)

        def running() -> bool:
            return all(i.running() for r in self.kit.platform.regions for i in r.of(kind))

        return runbook.Step(
            f"Bring the replicas of {store} back", "rejoin", act, running, SECONDS_TO_LOAD, "Until then one more failure is an outage."
        )

    def _protect(self, store: str) -> runbook.Step:
        state = self.states[store]

        def act() -> None:
            fresh = self.kit.connect(self.kit.platform.endpoint(self._kind(store)))
            try:
                base = state.chain.base.kind if state.chain else None
                assert base
                state.protected = backups.back_up(
                    fresh, base, self.kit.repository, self.kit.keys.recipients, self.kit.clock, self.kit.random
                )
            finally:
                fresh.close()

        return runbook.Step(
            f"Back up {store} again",
            "protect",
            act,
            lambda: state.protected is not None,
            SECONDS_TO_LOAD,
            "A restore begins a new history, which no earlier backup covers.",
        )

    # -- how they decide --------------------------------------------------------------------------------------------------------

    def _choose(self, store: str, target: str) -> Chain:
        catalogue = backups.Catalogue(self.kit.repository)
        if target == drill.LATEST:
            return catalogue.chain_to(store)
        if target == drill.ONE_MOMENT:
            together = [name for name, chosen in self.targets.items() if chosen == drill.ONE_MOMENT]
            return consistency.cuts(catalogue.read().manifests, together)[store]
        if target == drill.BEFORE_FAULT:
            return catalogue.chain_to(store, self.moments[store])
        mistake = self._find_drop(store, catalogue.chain_to(store))
        self.timeline.add("mistake.found", store=store, verb=mistake.verb, subject=mistake.subject, at=str(mistake.at))
        return catalogue.chain_to(store, mistake.before)

    def _find_drop(self, store: str, chain: Chain) -> ports.Operation:
        reader = self.kit.stores[store]
        assert isinstance(reader, ports.LogCapture)
        opener = backups.Opener(self.kit.keys.identities)
        drops = [
            operation
            for block in backups.log_blocks(chain, self.kit.repository, opener)
            for operation in reader.operations(block)
            if operation.verb == "drop" and operation.subject == self.namespaces[store]
        ]
        if not drops:
            raise errors.LogGap(
                f"The captured log of {store} up to {chain.end} shows no drop of {self.namespaces[store]}; recover to a time instead."
            )
        return drops[-1]

    def _provisioning(self) -> ports.Provisionable:
        platform = self.kit.platform
        assert isinstance(platform, ports.Provisionable)  # the plan has made sure
        return platform

    def _kind(self, store: str) -> str:
        return self.kit.policy.stores[store].kind

    def _progress(self, store: str) -> Callable[..., None]:
        """Progress of a restore as steps of their own, so that fetch, restore and replay show as phases."""

        def report(event: str, **detail: Any) -> None:
            self.timeline.add(f"restore.{event}", store=store, **detail)

        return report
