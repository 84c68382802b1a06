"""One drill: performs the activities of a plan, measures what a user would have seen, judges, and leaves evidence.

Faces call `perform` for each activity and `conclude` at the end. Whatever goes wrong in between is recorded, and never turns into a pass.
"""

import dataclasses
import functools
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from drplatform.engine import (
    backups,
    cluster_drill,
    configuration_drill,
    custody,
    damage,
    examination,
    failover,
    judgement,
    lost_key,
    recovery,
    runbook,
    service_checks,
    services,
    testimony,
)
from drplatform.engine import record as records
from drplatform.engine.capture import Capture
from drplatform.engine.faulting import Faulting
from drplatform.engine.kit import Kit
from drplatform.engine.users import Users
from drplatform.engine.watch import ProbingWatch
from drplatform.model import drill, errors, ports, powers
from drplatform.model.backup import Digest, Manifest
from drplatform.model.clock import Interval
from drplatform.model.evidence import Evidence
from drplatform.model.position import Position
from drplatform.model.timeline import Timeline
from drplatform.model.verdict import Verdict

REFERENCE_ITEMS = 120


def plan_serving(platform: ports.Platform) -> str:
    """The region that serves before anything happens: the first."""
    return next((region.name for region in platform.regions), "primary")


class Drill:
    """One run of a plan. A context manager: leaving it stops the clients and heals every fault, whatever has happened."""

    def __init__(self, plan: drill.Plan, kit: Kit, run_id: str) -> None:
        self.plan, self.kit, self.id = plan, kit, run_id
        self.timeline = Timeline(kit.clock, kit.listener)
        self.record = records.Record()
        self._stack = ExitStack()
        self._users = Users(kit)
        self._regions = failover.Regions(
            kit, self.timeline, ProbingWatch(self._users.probing, kit.clock), plan.stores, plan_serving(kit.platform)
        )
        self.record.divergences, self.record.fences = self._regions.divergences, self._regions.fences
        self.record.pointed, self.record.remembering = self._regions.pointed, self._users.remembering
        self._captures: dict[str, Capture] = {}
        self._namespaces: dict[str, str] = {}
        self._moments: dict[str, Position] = {}
        self._settled: examination.Findings | None = None
        self._services: services.ServiceRecovery | None = None

    def __enter__(self) -> Self:
        self.timeline.add("drill.begin", id=self.id, scenario=self.plan.scenario.name, seed=self.plan.seed)
        journal = self.kit.directory / "faults.jsonl"
        scene = ports.Scene(self.kit.platform, self.kit.stores, self.kit.clock, self.kit.repository)
        self._faulting = self._stack.enter_context(Faulting(scene, journal, self.kit.clock, self.timeline, self.kit.bound))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop_clients()
        self._stop_captures()
        self._stack.__exit__(kind, error, trace)

    def upcoming(self) -> drill.Activity:
        """The next activity of the plan, in its order."""
        return self.plan.scenario.activities[len(self.record.results)]

    # -- performing -------------------------------------------------------------------------------------------------------------

    def perform(self, activity: drill.Activity) -> None:
        """Do what the activity asks for. Raises when it cannot be done or, for an expectation, when it is not met; either is recorded.

        What hangs is ended: a disaster that does is inconclusive, a recovery a failure.
        """
        self.timeline.add("activity.begin", text=activity.text)
        try:
            self._perform_in_time(activity)
        except BaseException as error:
            self.record.failed(activity.text, error)
            self.timeline.add("activity.failed", text=activity.text, error=records.sentence(error))
            raise
        self.record.ended()
        self.timeline.add("activity.end", text=activity.text)

    def _perform_in_time(self, activity: drill.Activity) -> None:
        """A disaster may take its time: what it does is bounded step by step where it is caused."""
        if isinstance(activity, drill.Inflict):
            self._perform(activity)
            return
        with self.kit.bound(f"{activity.text!r} to end", drill.patience(activity, self.plan.policy), self._at_work):
            self._perform(activity)

    def _at_work(self) -> str:
        steps = ", ".join(map(repr, runbook.at_work(self.timeline)))
        return f"at work on {steps}" if steps else ""

    @functools.singledispatchmethod
    def _perform(self, activity: drill.Activity) -> None:
        raise TypeError(f"no way to perform {type(activity).__name__}")

    @_perform.register
    def _(self, activity: drill.Steady) -> None:
        for region in self.kit.platform.regions:
            down = [i.name for i in region.instances if not i.running()]
            if down or not region.instances:
                raise errors.Inconclusive(f"The region {region.name} does not serve ({', '.join(down) or 'it is empty'}); start it first.")

    @_perform.register
    def _(self, activity: drill.Seed) -> None:
        def filled(name: str) -> Mapping[str, Digest]:
            self.kit.stores[name].seed(self.plan.seed, activity.items or REFERENCE_ITEMS)
            return self.kit.stores[name].digest()

        self.record.reference |= examination.of_each(filled, activity.stores)
        if drill.CLUSTER in activity.stores:
            self.record.defects = cluster_drill.defects(self.kit)

    @_perform.register
    def _(self, activity: drill.Write) -> None:
        slower = self._users.start(activity.stores, self.plan.seed, self.plan.unreplicated, weakly=activity.weakly)
        if slower > 1:
            self.timeline.add("users.slowed", times=slower)

    @_perform.register
    def _(self, activity: drill.Stay) -> None:
        self._users.stay(activity.stores, activity.region)
        self._users.await_writes(activity.stores, 10)

    @_perform.register
    def _(self, activity: drill.GoOnWriting) -> None:
        self._users.await_writes(self.plan.stores, activity.writes)

    @_perform.register
    def _(self, activity: drill.BackUp) -> None:
        self._waypoint(activity.store)
        manifest = self._back_up(activity)
        self.record.backups.append(manifest)

    @_perform.register
    def _(self, activity: drill.Capture) -> None:
        store = self.kit.stores[activity.store]
        capture = Capture(
            store, self.kit.repository, self.kit.keys.recipients, self.kit.clock, self.kit.random, self._capture_from(activity.store)
        )
        capture.start()
        self._captures[activity.store] = capture

    @_perform.register
    def _(self, activity: drill.Inflict) -> None:
        for name in self.plan.recovered:
            if name in activity.affects and not any(name in effect.affects for effect in self.record.effects):
                self._waypoint(name)
                self._moments[name] = self.record.waypoints[-1].position
        fault = self.kit.faults(activity.fault)(**activity.parameters)
        self._remember_namespaces(activity)
        if isinstance(fault, powers.Partitioning):
            self._regions.part()
        self.record.effects.append(self._faulting.inflict(fault))

    @_perform.register
    def _(self, activity: drill.Recover) -> None:
        run = recovery.Recovery(
            self.kit, self.timeline, self._users.probing, activity.targets, activity.region, self._stop_captures, self._namespaces
        )
        run.moments, run.cut_off, run.hung = self._moments, activity.cut_off, activity.hung
        self._check_custody(tuple(activity.targets))
        self.record.recoveries = run.states
        run.follow()
        self._users.go_on(tuple(activity.targets))

    @_perform.register
    def _(self, activity: drill.Heal) -> None:
        self._faulting.heal_all()
        self._regions.reunite()
        self._users.await_answers(self.plan.stores, recovery.SECONDS_TO_SERVE)

    @_perform.register
    def _(self, activity: drill.NoticeDamage) -> None:
        try:
            self._check_custody((activity.store,))
            custody.verified(self.kit.repository, activity.store, backups.Opener(self.kit.keys.identities))
        except (errors.IntegrityError, errors.LogGap, errors.KeyUnavailable) as error:
            self.timeline.add("damage.noticed", store=activity.store, said=str(error))
            return
        raise errors.VerificationFailed(f"Nobody noticed that the backups of {activity.store} were changed.")

    @_perform.register
    def _(self, activity: drill.LoseKey) -> None:
        taken = dict.fromkeys(m.store for m in self.record.backups)
        self.kit = dataclasses.replace(self.kit, keys=lost_key.brought_back(self.kit, taken, activity.needed, activity.holders))
        self.timeline.add("key.recovered", needed=activity.needed, holders=activity.holders)

    @_perform.register
    def _(self, activity: drill.Replicate) -> None:
        other = next(r.name for r in self.kit.platform.regions if r.name != activity.region)
        self._regions.follow(activity.store, other, activity.region)

    @_perform.register
    def _(self, activity: drill.FailOver) -> None:
        began = self.kit.clock.monotonic()
        self._regions.fail_over(activity.region)
        self._moved(activity.region, began)

    @_perform.register
    def _(self, activity: drill.SwitchOver) -> None:
        began, old = self.kit.clock.monotonic(), self._regions.serving
        self._regions.switch_over(activity.region)
        if not self.record.effects:
            receipt = ports.Receipt(self.plan.stores, f"served from the {activity.region} region")
            effect = ports.FaultEffect(records.SWITCHOVER, frozenset(self.plan.stores), Interval(began, began), receipt)
            self.record.effects.append(effect)
        self._moved(activity.region, began)
        self._regions.turn_round(old)
        self._users.go_on(self.plan.stores)

    @_perform.register
    def _(self, activity: drill.Rejoin) -> None:
        self._users.leave()
        self._regions.rejoin(activity.region)
        self._users.go_on(self.plan.stores)

    @_perform.register
    def _(self, activity: drill.RestoreConfiguration) -> None:
        state = recovery.Recovered(configuration_drill.STORE, drill.LATEST)
        self.record.recoveries = {**self.record.recoveries, state.store: state}
        self.record.effects = configuration_drill.concerned(self.plan, self.record.effects)
        run = configuration_drill.ConfigurationRecovery(self.kit, self.timeline, self.record.reference[state.store], state)
        self.record.configuration = run
        self._check_custody((state.store,))
        run.follow()

    @_perform.register
    def _(self, activity: drill.RestoreCluster) -> None:
        state = recovery.Recovered(cluster_drill.STORE, drill.LATEST)
        self.record.recoveries = {**self.record.recoveries, state.store: state}
        reference, before = self.record.reference.get(state.store, {}), self.record.defects
        self.record.cluster = cluster_drill.ClusterRecovery(self.kit, self.timeline, reference, before, state)
        self._check_custody((state.store,))
        self.record.cluster.follow()

    @_perform.register
    def _(self, activity: drill.FindDamage) -> None:
        found = damage.found(self.kit, activity.store, functools.partial(self._check_custody, (activity.store,)))
        self.timeline.add("damage.found", store=activity.store, found=found)
        if not found:
            raise errors.VerificationFailed(
                f"The backups of {activity.store} were hurt, and nothing that a recovery looks at has found it."
            )

    @_perform.register
    def _(self, activity: drill.Restart) -> None:
        """Captures of the stores end first: servers that start anew may begin a new history, which no earlier backup leads to."""
        for name in activity.stores:
            if name in self._captures:
                self.record.doubt(self._captures[name].stop)
        kinds = {self.plan.policy.stores[name].kind for name in activity.stores}
        chosen = [i for r in self.kit.platform.regions if r.name == activity.region for i in r.instances if i.kind in kinds]
        steps = [runbook.Step(f"Start {i.name} again", "restart", i.start, i.running, recovery.SECONDS_TO_SERVE) for i in chosen]
        runbook.follow(steps, self.kit.clock, self.timeline)
        self._users.await_answers(activity.stores, recovery.SECONDS_TO_SERVE)

    @_perform.register
    def _(self, activity: drill.DeployServices) -> None:
        others = [r.name for r in self.kit.platform.regions if r.name not in (plan_serving(self.kit.platform), drill.WITNESS)]
        self._services = services.ServiceRecovery(self.kit, self.timeline, plan_serving(self.kit.platform))
        self._services.deploy(others)
        self.record.reference = {name: self.kit.stores[name].digest() for name in self.record.reference}  # the uploads are part of it now

    @_perform.register
    def _(self, activity: drill.BringUpServices) -> None:
        self._services = services.ServiceRecovery(self.kit, self.timeline, activity.region)
        self._services.follow()

    @_perform.register
    def _(self, activity: drill.Expect) -> None:
        findings = self._findings()
        judgement.require(activity, findings.of(activity.judgement))

    # -- concluding -------------------------------------------------------------------------------------------------------------

    def conclude(self) -> Evidence:
        """The evidence of the run. Everything is stopped and healed before; call inside the context, once."""
        findings = self._findings()
        self.timeline.add("drill.end", verdict=self.verdict().name)
        return testimony.evidence(
            self.id,
            self.plan,
            self.kit,
            self.record,
            findings,
            self.timeline,
            self._users.workload,
            self._users.probing,
            self._users.others,
        )

    def verdict(self) -> Verdict:
        """The verdict as it stands; the first call ends the writing and heals."""
        return judgement.verdict(self.plan, self.record, self._findings())

    def answers(self, store: str, within: float = 20.0) -> bool:
        """Whether the store's users are served for half a second without a failure, beginning at most `within` seconds from now.

        When the writing has ended: whether they were served at the end.
        """
        return self._users.served_at_end(store) if self._settled is not None else self._users.served(store, within, 0.5)

    def _findings(self) -> examination.Findings:
        """What was found, measured once: the first call ends the writing and heals."""
        if self._settled is None:
            if not records.broken_off(self.plan, self.record) and not self._users.ended:
                self.record.served = {**self.record.served, **self._users.last_served()}
            self._stop_clients()
            self._stop_captures()
            self.record.doubt(self._faulting.heal_all)
            found = examination.examine(self.plan, self.kit, self.record, self._users.workload, self._users.probing, self._users.others)
            self._settled = dataclasses.replace(found, parts={**found.parts, **self._examine_services()})
        return self._settled

    def _examine_services(self) -> Mapping[str, tuple[examination.Part, ...]]:
        """Where services were brought up: after everything else was read, since a test of theirs writes."""
        if self._services is None or records.broken_off(self.plan, self.record):
            return {}
        return service_checks.parts(self.kit, self._services.region)

    def _moved(self, region: str, began: float) -> None:
        """Users are seen served, by every kind of client, throughout, before anything else happens: the move ends there."""
        self._users.all_served(self.plan.stores)
        self.record.moves.append(records.Move(region, began, self.kit.clock.monotonic()))
        if self._services:
            self._services = services.ServiceRecovery(self.kit, self.timeline, region)

    # -- details ----------------------------------------------------------------------------------------------------------------

    def _back_up(self, activity: drill.BackUp) -> Manifest:
        kit = self.kit
        self.timeline.add("backup.begin", store=activity.store, kind=activity.kind.value)
        manifest = backups.back_up(kit.stores[activity.store], activity.kind, kit.repository, kit.keys.recipients, kit.clock, kit.random)
        self.timeline.add(
            "backup.end",
            store=activity.store,
            kind=activity.kind.value,
            id=manifest.id,
            bytes=manifest.stored_bytes,
            chunks=len(manifest.chunks),
        )
        return manifest

    def _check_custody(self, stores: tuple[str, ...]) -> None:
        """Before anything is recovered from the vault: is it as this drill has left it, as far as the drill knows?"""
        taken = [*self.record.backups, *(s.protected for s in self.record.recoveries.values() if s.protected)]
        sealed = {name: capture.reached for name, capture in self._captures.items() if name in stores}
        custody.check(self.kit.repository, taken, sealed, self.kit.clock.utc())

    def _capture_from(self, store: str) -> Position:
        bases = [m for m in self.record.backups if m.store == store]
        return bases[-1].end if bases else self.kit.stores[store].position()

    def _waypoint(self, store: str) -> None:
        """Note that everything acknowledged until now is at or before the store's position read after this moment."""
        before = self.kit.clock.monotonic()
        self.record.waypoints.append(records.Waypoint(store, before, self.kit.stores[store].position()))

    def _remember_namespaces(self, activity: drill.Inflict) -> None:
        for name in activity.affects:
            store = self.kit.stores[name]
            if isinstance(store, ports.Namespaced):
                self._namespaces[name] = str(activity.parameters.get("namespace") or store.marks_namespace)

    def _stop_clients(self) -> None:
        for stop in self._users.stops():
            self.record.doubt(stop)

    def _stop_captures(self) -> None:
        self.record.doubt(self._regions.close)
        for capture in self._captures.values():
            self.record.doubt(capture.stop)


__all__ = ["Drill", "Verdict"]
