"""Measures and checks: from a drill's record, the ledger, the probers and the recovered stores to findings.

Every checker is shown a planted defect in the same run; one that misses it cannot pass. What could not be measured is never a pass.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from drplatform.engine import (
    access_checks,
    alert_checks,
    backups,
    cluster_drill,
    configuration_drill,
    consistency_checks,
    planted,
    region_checks,
    retention_checks,
)
from drplatform.engine.kit import Kit
from drplatform.engine.probing import Probing
from drplatform.engine.record import SUSTAIN, SWITCHOVER, Move, Record, broken_off, sentence
from drplatform.engine.workload import Workload
from drplatform.model import drill, errors, loss, outage, ports
from drplatform.model.backup import Digest
from drplatform.model.clock import Interval
from drplatform.model.ledger import Entry, Mark, Outcome
from drplatform.model.position import Position
from drplatform.model.verdict import Check, Measurement, Verdict, check

LEDGER_GAP = 1.0
"""The last acknowledgement before a fault must be no older than this many seconds, or a loss of zero proves nothing."""

READS = 3
"""How often a store is read at the end before it counts as one that cannot be read: over a long way, a connection may break."""

Part = Measurement | Check
T = TypeVar("T")


@dataclass(frozen=True)
class Findings:
    """What was found, by judgement (see drill.JUDGEMENTS)."""

    losses: Mapping[str, loss.Loss]
    outages: Mapping[str, outage.Outage]
    parts: Mapping[str, tuple[Part, ...]]

    def of(self, judgement: str) -> tuple[Part, ...]:
        return self.parts.get(judgement, ())

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        return tuple(p for parts in self.parts.values() for p in parts if isinstance(p, Measurement))

    @property
    def checks(self) -> tuple[Check, ...]:
        return tuple(p for parts in self.parts.values() for p in parts if isinstance(p, Check))


def examine(
    plan: drill.Plan,
    kit: Kit,
    record: Record,
    workload: Workload | None,
    probing: Mapping[str, Probing],
    others: Mapping[str, Mapping[str, Probing]] | None = None,
) -> Findings:
    """Measure and check all that the plan concerns; `others` are further kinds of clients of a store. Reads the stores through their public names; changes nothing."""
    if workload is None or not record.effects:
        record.doubts.append("No disaster took effect while clients wrote: there is nothing to measure.")
        return Findings({}, {}, {})
    if broken_off(plan, record):
        record.doubts.append("The drill did not get to its end, so what it was to show was not measured.")
        return Findings({}, {}, {})
    turned_away = {store: workload.turned_away(store) for store in plan.stores}
    examiner = _Examiner(plan, kit, record, workload.entries(), probing, others or {}, turned_away)
    return examiner.findings()


@dataclass
class _Examiner:
    plan: drill.Plan
    kit: Kit
    record: Record
    entries: list[Entry]
    probing: Mapping[str, Probing]
    others: Mapping[str, Mapping[str, Probing]]
    turned_away: Mapping[str, float | None]

    def findings(self) -> Findings:
        hurt = [s for s in self.plan.stores if any(s in e.affects for e in self.record.effects)]
        outages = {s: found for s in hurt if (found := self._outage(s))}
        referenced = [s for s in self.record.reference if s not in (configuration_drill.STORE, cluster_drill.STORE)]
        looks = of_each(self._look, self.plan.stores)
        losses = {s: look[0] for s, look in looks.items() if look}
        parts: dict[str, tuple[Part, ...]] = {
            "rto": (*(self._rto(s, outages.get(s)) for s in hurt), *(self._moved(s, m) for m in self._later_moves() for s in hurt)),
            "rpo": tuple(self._rpo(s, losses.get(s)) for s in self.plan.stores),
            "answers": tuple(self._answers(s) for s in self.plan.stores),
            "accounted": tuple(self._accounted(s, looks[s]) for s in self.plan.stores),
            "nothing before": tuple(self._nothing_before(s, losses.get(s)) for s in self.plan.stores if not self.plan.of(drill.FailOver)),
            "reference": tuple(of_each(self._reference, referenced).values()),
            "backups": tuple(of_each(self._backups, self.record.recoveries).values()),
            "kept": tuple(c for s in hurt if s in outages and s in losses if (c := self._kept(s, losses[s], outages[s]))),
            **self._of_regions(losses),
            **retention_checks.parts(self.plan, self.kit),
            **access_checks.parts(self.plan, self.kit),
            **alert_checks.parts(self.plan, self.kit),
            **consistency_checks.parts(self.plan, self.entries, {s: look[1] for s, look in looks.items() if look}, self.record.effects),
        }
        restored = configuration_drill.parts(self.plan, self.kit, self.record.configuration, self.record.effects, self.record.backups)
        parts = {**parts, **{name: (*parts[name], *more) for name, more in restored.items()}}
        for name, part in cluster_drill.parts(self.plan, self.kit, self.record.cluster, self.record.effects):
            parts[name] = (*parts.get(name, ()), part)
        return Findings(losses, outages, parts)

    # -- measurements

    def _effects(self, store: str) -> list[ports.FaultEffect]:
        """The faults that concern the store; where none does, all: its loss is then held against every one of them."""
        return [e for e in self.record.effects if store in e.affects] or self.record.effects

    def _outage(self, store: str) -> outage.Outage | None:
        return outage.outage(self._samples(store), self._effects(store)[0].effect, SUSTAIN)

    def _samples(self, store: str) -> list[outage.Sample]:
        """What the prober saw until users were last seen served throughout: what it saw while it was being stopped says nothing."""
        return [s for s in self.probing[store].samples() if s.end <= self._until(store)]

    def _until(self, store: str) -> float:
        """The end of what belongs to the disaster: where service moved to another region, users were served there by then.

        What they see while it moves on is measured as moves of their own.
        """
        return self.record.moves[0].back if self.record.moves else self.record.served.get(store, float("inf"))

    def _rto(self, store: str, seen: outage.Outage | None) -> Measurement:
        """From the first fault that concerns the store to its return, as the probers saw it: the last kind of client that is back."""
        target = self.plan.policy.rto(store)
        kinds = [seen, *(self._seen_by(p, store) for p in self.others.get(store, {}).values())]
        found = [s.since(narrowed(self._effects(store)[0].effect, s.began)) for s in kinds if s]
        if found and len(found) == len(kinds):
            return Measurement("rto", store, target, Interval(max(f.lower for f in found), max(f.upper for f in found)))
        if moved := self._uninterrupted(store):
            return Measurement("rto", store, target, moved)
        if store not in self.record.recoveries and not self.plan.of(drill.FailOver) and (unnoticed := self._unnoticed(store)):
            return Measurement("rto", store, target, unnoticed, "no user of it noticed anything")
        return Measurement("rto", store, target, None, "a prober saw no outage with a lasting end")

    def _unnoticed(self, store: str) -> Interval | None:
        """When no probe failed from the fault on, and probes went on: an outage can only have been shorter than from one probe to the next."""
        probers = [self.probing[store], *self.others.get(store, {}).values()]
        since = self._effects(store)[0].effect
        for probing in probers:
            later = [s for s in probing.samples() if s.end >= since.lower and s.end <= self._until(store)]
            if not later or not all(s.ok for s in later) or max(s.end for s in later) < since.upper + SUSTAIN:
                return None
        return Interval(0.0, max(p.timeout + p.period for p in probers))

    def _seen_by(self, prober: Probing, store: str) -> outage.Outage | None:
        samples = [s for s in prober.samples() if s.end <= self._until(store)]
        return outage.outage(samples, self._effects(store)[0].effect, SUSTAIN)

    def _later_moves(self) -> list[Move]:
        """Planned moves after the first event."""
        return self.record.moves[1:]

    def _moved(self, store: str, move: Move) -> Measurement:
        """How long users were without the store while it moved as planned, the last kind of client counted; held against the same target."""
        target, subject = self.plan.policy.rto(store), f"{store}, moving to the {move.region} region"
        found = [self._interruption(p, move) for p in (self.probing[store], *self.others.get(store, {}).values())]
        known = [f for f in found if f]
        if len(known) < len(found):
            return Measurement("rto", subject, target, None, "a prober saw no lasting end of the interruption")
        return Measurement("rto", subject, target, Interval(max(f.lower for f in known), max(f.upper for f in known)))

    def _interruption(self, prober: Probing, move: Move) -> Interval | None:
        samples = [s for s in prober.samples() if move.began <= s.end <= move.back]
        if samples and all(s.ok for s in samples):
            return Interval(0.0, max(s.end - s.start for s in samples) + prober.period)
        seen = outage.outage(samples, Interval(move.began, move.began), SUSTAIN)
        return Interval(max(0.0, seen.ended.lower - seen.began.upper), seen.ended.upper - seen.began.lower) if seen else None

    def _uninterrupted(self, store: str) -> Interval | None:
        """Of a planned change of regions that no user noticed, at the most the time between two probes; None for any other event."""
        if self._effects(store)[0].fault != SWITCHOVER or not self.record.moves:
            return None
        return self._moved(store, self.record.moves[0]).actual

    def _rpo(self, store: str, found: loss.Loss | None) -> Measurement:
        """From the oldest write that is gone to the last fault that concerns the store."""
        target, fault = self.plan.policy.rpo(store), self._effects(store)[-1].effect
        ended = self._history_ended(store, found, fault)
        if found is None:
            return Measurement("rpo", store, target, None, "the store could not be read after the recovery")
        if not loss.wrote_until(self.entries, store, fault.lower, LEDGER_GAP):
            return Measurement("rpo", store, target, None, "the ledger was not being written right up to the fault")
        return Measurement("rpo", store, target, loss.rpo(found, self.entries, ended))

    def _history_ended(self, store: str, found: loss.Loss | None, fault: Interval) -> Interval:
        """When the history that is lost ended: with the disaster, or where a region that was left went on, with its last acknowledgement."""
        gone = set(found.lost) if found and self.plan.of(drill.FailOver) else set()
        last = max((e.returned for e in self.entries if e.store == store and e.mark in gone), default=fault.lower)
        return Interval(max(fault.lower, last), max(fault.upper, last))

    # -- checks

    def _kept(self, store: str, found: loss.Loss, seen: outage.Outage) -> Check | None:
        return region_checks.kept(store, self.entries, found, seen)

    def _of_regions(self, losses: Mapping[str, loss.Loss]) -> dict[str, tuple[Part, ...]]:
        """What is to be seen when service has moved between regions."""
        moves = (drill.FailOver, drill.SwitchOver, drill.Rejoin)
        if not any(self.plan.of(kind) for kind in moves):
            return {}
        primaries = of_each(lambda s: region_checks.one_primary(self.kit, s), self.plan.stores)
        read = [s for s in self.plan.stores if s in losses] if self.plan.of(drill.Rejoin) else []
        saved = of_each(lambda s: self._saved(s, losses[s]), read)
        one = tuple(c for c in primaries.values() if c)
        found = {"one primary": one, "saved": tuple(saved.values()), "names": tuple(self._followed())}
        return {**found, **(self._of_those_who_stayed(losses) if self.plan.of(drill.Stay) else {})}

    def _followed(self) -> Iterator[Check]:
        traffic = self.kit.traffic
        for number, one in enumerate(self.record.pointed, 1):
            if traffic and (name := self.record.remembering.get(one.store)):
                tries = self.others[one.store][name.client.value]
                again = next((p.began for p in self.record.pointed[number:] if p.store == one.store), float("inf"))
                yield region_checks.followed(one, name.uses, traffic.ttl, tries.period + tries.timeout, again)

    def _of_those_who_stayed(self, losses: Mapping[str, loss.Loss]) -> dict[str, tuple[Part, ...]]:
        """What is to be seen when clients went on writing to the region that was left."""
        record, stayed = self.record, tuple(dict.fromkeys(s for a in self.plan.of(drill.Stay) for s in a.stores))
        since = {s: self._effects(s)[0].effect for s in stayed}
        gone = {s: frozenset(losses[s].lost) if s in losses else frozenset() for s in stayed}
        fenced = (region_checks.fenced(s, self.entries, since[s], record.fences.get(s), self.turned_away.get(s), gone[s]) for s in stayed)
        back = (region_checks.failback(self.entries, losses[s], since[s], record.divergences) for s in stayed if s in losses)
        return {"fenced": tuple(fenced), "failback": tuple(back)}

    def _saved(self, store: str, found: loss.Loss) -> Check:
        return region_checks.saved(self.kit, store, found, self.record.divergences, planted.OneByteFlipped)

    def _look(self, store: str) -> tuple[loss.Loss, list[Mark], bool] | None:
        try:
            marks, ordered = self._read(store, lambda fresh: (list(fresh.marks()), fresh.ordered))
            return loss.compare(store, self.entries, marks, ordered=ordered), marks, ordered
        except errors.StoreError as error:
            self.record.doubts.append(f"{store} could not be read after the recovery: {sentence(error)}")
            return None

    def _answers(self, store: str) -> Check:
        samples = self._samples(store)

        def silent(seen: Sequence[outage.Sample]) -> list[str]:
            return [] if served_at_end(seen) else [f"{store} did not answer its users at the end"]

        failed = [*samples, outage.Sample(samples[-1].end, samples[-1].end, False)] if samples else []
        return check(f"{store} answers at the end", silent, samples, failed, "read an old write and had a new one acknowledged")

    def _read(self, store: str, look: Callable[[ports.DataStore], T]) -> T:
        """What is there, read on a connection of its own. One that breaks is made again: nothing is written any more, so nothing is missed by that."""
        for _ in range(READS - 1):
            with contextlib.suppress(errors.StoreError):
                return self._read_once(store, look)
        return self._read_once(store, look)

    def _read_once(self, store: str, look: Callable[[ports.DataStore], T]) -> T:
        fresh = self.kit.connect(self.kit.platform.endpoint(self.plan.policy.stores[store].kind))
        try:
            return look(fresh)
        finally:
            fresh.close()

    def _accounted(self, store: str, look: tuple[loss.Loss, list[Mark], bool] | None) -> Check:
        name = f"{store} holds what was written and nothing else"
        if look is None:
            return Check(name, Verdict.INCONCLUSIVE, "the store could not be read")
        found, marks, ordered = look
        finding = (
            f"{found.acked} acknowledged, {len(found.lost)} of them gone, {found.indeterminate} without a known outcome, "
            f"{found.found} found, none phantom, mutated or duplicated"
        )
        caught = planted.comparison_catches(store, self.entries, marks, ordered)
        if defects := planted.corruption(found):
            return Check(name, Verdict.FAILED, "; ".join(defects), caught)
        return Check(name, Verdict.PASSED, finding, caught)

    def _nothing_before(self, store: str, found: loss.Loss | None) -> Check:
        name = f"{store} lacks nothing from before its recovery point"
        if found is None:
            return Check(name, Verdict.INCONCLUSIVE, "the store could not be read")
        horizon = self._horizon(store)
        if horizon is None:
            return Check(name, Verdict.INCONCLUSIVE, "the recovery point could not be placed in the ledger")
        acked = {(e.mark.client, e.mark.number): e.returned for e in self.entries if e.store == store and e.outcome is Outcome.ACKED}

        def early(lost: Iterable[Mark]) -> list[str]:
            missing = [m for m in lost if acked[m.client, m.number] <= horizon]
            return (
                [f"{len(missing)} writes acknowledged before the recovery point are gone, first {planted.first(missing)}"]
                if missing
                else []
            )

        before = [e.mark for e in self.entries if e.store == store and e.outcome is Outcome.ACKED and e.returned <= horizon]
        defect = (*found.lost, *before[:1])
        return check(name, early, found.lost, defect, f"all {len(before)} writes acknowledged before it are there")

    def _horizon(self, store: str) -> float | None:
        """Monotonic seconds: what was acknowledged before must be there. Unrecovered stores must have everything."""
        state = self.record.recoveries.get(store)
        if state is None:
            return float("inf")
        if state.end is None:
            return None
        reached: Position = state.end.reached
        passed = [
            w.moment
            for w in self.record.waypoints
            if w.store == store and w.position.timeline == reached.timeline and w.position <= reached
        ]
        return max(passed, default=None)

    def _reference(self, store: str) -> Check:
        expected = self.record.reference[store]

        def changed(actual: Mapping[str, Digest]) -> list[str]:
            names = sorted(expected.keys() | actual.keys())
            return [f"{n} changed" for n in names if expected.get(n) != actual.get(n)]

        name = f"{store} has its reference data unchanged"
        if not expected:
            return Check(name, Verdict.INCONCLUSIVE, "there was no reference data to compare")
        try:
            actual = self._read(store, lambda fresh: fresh.digest())
        except errors.StoreError as error:
            return Check(name, Verdict.INCONCLUSIVE, sentence(error))
        items = sum(d.items for d in expected.values())
        return check(name, changed, actual, planted.altered(expected), f"{items} items in {len(expected)} collections have equal digests")

    def _backups(self, store: str) -> Check:
        chain = self.record.recoveries[store].chain
        name = f"the backups that {store} was recovered from are whole"
        if chain is None:
            return Check(name, Verdict.INCONCLUSIVE, "no backup was used")
        opener = backups.Opener(self.kit.keys.identities)

        def damaged(repository: ports.Repository) -> list[str]:
            return [p for manifest in chain.backups for p in backups.verify(manifest, repository, opener).problems]

        objects = sum(len(m.chunks) + 1 for m in chain.backups)
        passed = f"{objects} objects of {len(chain.backups)} backups match their manifests and open with the key"
        return check(name, damaged, self.kit.repository, planted.OneByteFlipped(self.kit.repository, chain.base.chunks[-1].key), passed)


def of_each(read: Callable[[str], T], stores: Iterable[str]) -> dict[str, T]:
    """What is read of each store, or done to it, of all at once: it is waiting, mostly."""
    with ThreadPoolExecutor(thread_name_prefix="examine") as pool:
        running = {store: pool.submit(read, store) for store in stores}
    return {store: future.result() for store, future in running.items()}


def served_at_end(samples: Sequence[outage.Sample]) -> bool:
    """Whether the last of the samples hold neither a failure nor a gap."""
    last = max((s.end for s in samples), default=0.0)
    return outage.sustained(samples, last - 2 * SUSTAIN, SUSTAIN / 2) and samples[-1].ok


def narrowed(effect: Interval, began: Interval) -> Interval:
    """The fault had taken effect when users first saw it, which may be before its confirmation.

    Only the latest possible moment moves: a fault may take effect before anyone notices, and counting from its notice would flatter.
    """
    return Interval(effect.lower, max(effect.lower, min(effect.upper, began.upper)))
