"""Whether stores that were recovered to one moment are one consistent cut: dangling references between them, and their skew in seconds."""

from collections.abc import Mapping, Sequence, Set
from typing import Any

from drplatform.model import consistency, drill, ports
from drplatform.model.clock import Interval
from drplatform.model.ledger import Entry, Mark, Outcome
from drplatform.model.verdict import Check, Measurement, Verdict, check

NAME = "references between the stores lead somewhere"
Present = Mapping[str, Set[consistency.Key]]


def parts(
    plan: drill.Plan, entries: Sequence[Entry], marks: Mapping[str, Sequence[Mark]], effects: Sequence[ports.FaultEffect]
) -> dict[str, tuple[Any, ...]]:
    """The findings of the judgement `consistent`, where the plan asks for it: a check for dangling references, and the skew as a measurement."""
    asked = any(e.judgement == "consistent" for e in plan.of(drill.Expect))
    if not asked or not effects:
        return {}
    present = {store: {consistency.key(m) for m in found} for store, found in marks.items()}
    before = min(e.effect.lower for e in effects)
    return {"consistent": (_references(plan, entries, present, before), _skew(plan, entries, present, before))}


def _references(plan: drill.Plan, entries: Sequence[Entry], present: Present, before: float) -> Check:
    pairs = [(a, b) for a, b in consistency.REFERENCES if a in present and b in present]
    if not pairs:
        return Check(NAME, Verdict.INCONCLUSIVE, "no two stores that refer to each other could be read")

    def defects(seen: Present) -> list[str]:
        return [str(found) for found in consistency.dangling(entries, seen, before)]

    planted = [_without_oldest(entries, present, referred, before) for _, referred in pairs]
    caught = all(_finds(entries, seen, before, pair) for pair, seen in zip(pairs, planted, strict=True))
    checked = ", ".join(f"{a} to {b}" for a, b in pairs)
    made = check(NAME, defects, present, planted[0], f"0 dangling ({checked}), of {sum(e.invoked < before for e in entries)} writes")
    return Check(made.name, made.verdict, made.finding, bool(made.control) and caught)


def _finds(entries: Sequence[Entry], seen: Present, before: float, pair: tuple[str, str]) -> bool:
    """Whether the planted loss in the referred store is named for this very pair."""
    return any((d.referring, d.referred) == pair for d in consistency.dangling(entries, seen, before))


def _without_oldest(entries: Sequence[Entry], present: Present, store: str, before: float) -> Present:
    """The planted defect: the oldest write that the store has kept is gone, and everything that came after may refer to it."""
    kept = [e for e in entries if e.store == store and e.outcome is Outcome.ACKED and consistency.key(e.mark) in present[store]]
    oldest = min((e for e in kept if e.invoked < before), key=lambda e: e.returned, default=None)
    return {**present, store: present[store] - ({consistency.key(oldest.mark)} if oldest else set())}


def _skew(plan: drill.Plan, entries: Sequence[Entry], present: Present, before: float) -> Measurement:
    """Held against the smallest RPO of the stores: more than that between two of them would be a loss in disguise."""
    target = min((plan.policy.rpo(store) for store in present), default=0.0)
    if len(present) < 2:
        return Measurement("skew", "stores", target, None, "fewer than two stores could be read")
    apart = consistency.skew(entries, present, before)
    return Measurement("skew", "stores", target, Interval(apart, apart))
