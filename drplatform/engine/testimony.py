"""The evidence of one drill: its record, findings and timeline as one JSON-able document. Judges nothing by itself."""

from collections.abc import Mapping
from typing import Any

from drplatform.engine.examination import Findings, Part
from drplatform.engine.judgement import describe, judged, verdict
from drplatform.engine.kit import Kit
from drplatform.engine.probing import Probing
from drplatform.engine.record import SUSTAIN, Record
from drplatform.engine.workload import Workload
from drplatform.model import drill, outage, ports, timeline
from drplatform.model.backup import Manifest
from drplatform.model.clock import Interval
from drplatform.model.evidence import Evidence
from drplatform.model.verdict import Verdict


def evidence(
    run_id: str,
    plan: drill.Plan,
    kit: Kit,
    record: Record,
    findings: Findings,
    events: timeline.Timeline,
    workload: Workload | None,
    probing: Mapping[str, Probing],
    others: Mapping[str, Mapping[str, Probing]] | None = None,
) -> Evidence:
    """The record that the drill leaves."""
    happened = list(events)
    origin, last = happened[0], happened[-1]
    start = origin.at.monotonic
    result = verdict(plan, record, findings)
    return Evidence(
        id=run_id,
        scenario=_scenario(plan, record),
        verdict=result,
        summary=_summary(result, record, findings),
        started=origin.at.utc.isoformat(),
        finished=last.at.utc.isoformat(),
        seconds=round(last.at.monotonic - start, 3),
        seed=plan.seed,
        platform=kit.platform.name,
        operator=kit.operator,
        policy={"name": plan.policy.name, "hash": plan.policy.hash},
        versions=kit.versions,
        measurements=tuple(m.to_json() for m in findings.measurements),
        checks=tuple(c.to_json() for c in findings.checks),
        losses=tuple(found.to_json() for found in findings.losses.values()),
        faults=tuple(_receipt(e, start) for e in record.effects),
        backups=tuple(_backup(m) for m in (*_used(record), *(m for d in record.divergences for m in d.saved))),
        phases={name: round(seconds, 3) for name, seconds in timeline.phases(happened).items()},
        spans=tuple(_span(s, start) for s in timeline.spans(happened)),
        timeline=tuple(e.to_json(start) for e in happened),
        ledger=_ledger(workload),
        doubts=tuple(record.doubts),
        probes=_all_probes(plan, record, probing, others or {}, findings, start),
    )


def _all_probes(
    plan: drill.Plan,
    record: Record,
    probing: Mapping[str, Probing],
    others: Mapping[str, Mapping[str, Probing]],
    findings: Findings,
    start: float,
) -> dict[str, Any]:
    """What the probers of each store saw; further kinds of clients under `clients`."""
    found: dict[str, Any] = {name: _probes(p, findings.outages.get(name), start) for name, p in probing.items()}
    for name, kinds in others.items():
        effects = [e.effect for e in record.effects if name in e.affects]
        seen = {k: outage.outage(p.samples(), effects[0], SUSTAIN) if effects else None for k, p in kinds.items()}
        found[name]["clients"] = {k: _probes(p, seen[k], start) for k, p in kinds.items()}
    return found


def _scenario(plan: drill.Plan, record: Record) -> dict[str, Any]:
    s = plan.scenario
    results = [*record.results, *["not run"] * len(s.activities)]
    sentences = [{"text": a.text, "result": result} for a, result in zip(s.activities, results, strict=False)]
    return {"feature": s.feature, "name": s.name, "cadence": s.cadence, "tags": sorted(s.tags), "source": s.source, "sentences": sentences}


def _summary(result: Verdict, record: Record, findings: Findings) -> str:
    if result is Verdict.PASSED:
        return f"All {len(findings.measurements)} targets were met and all {len(findings.checks)} checks passed."
    parts: tuple[Part, ...] = (*findings.measurements, *findings.checks)
    bad = [describe(p) for p in parts if judged(p) is result]
    words = [text for weight, text in record.failures if weight is result] or bad or record.doubts
    return words[0] if words else "A sentence of the scenario did not run."


def _receipt(effect: ports.FaultEffect, origin: float) -> dict[str, Any]:
    return {
        "fault": effect.fault,
        "affects": sorted(effect.affects),
        "targets": list(effect.receipt.targets),
        "seen": effect.receipt.seen,
        "began": round(effect.effect.lower - origin, 6),
        "confirmed": round(effect.effect.upper - origin, 6),
    }


def _used(record: Record) -> list[Manifest]:
    used = [m for state in record.recoveries.values() if state.chain for m in state.chain.backups]
    return used or record.backups


def _backup(manifest: Manifest) -> dict[str, Any]:
    return {
        "id": manifest.id,
        "store": manifest.store,
        "kind": manifest.kind.value,
        "begin": str(manifest.begin),
        "end": str(manifest.end),
        "chunks": len(manifest.chunks),
        "plain_bytes": manifest.plain_bytes,
        "stored_bytes": manifest.stored_bytes,
        "started": manifest.started.isoformat(),
        "finished": manifest.finished.isoformat(),
    }


def _span(span: timeline.Span, origin: float) -> dict[str, Any]:
    return {"step": span.step, "phase": span.phase, "begin": round(span.begin - origin, 6), "end": round(span.end - origin, 6)}


def _ledger(workload: Workload | None) -> dict[str, Any]:
    return {"digest": workload.digest(), "entries": len(workload.entries())} if workload else {"digest": "", "entries": 0}


def _probes(probing: Probing, seen: outage.Outage | None, origin: float) -> dict[str, Any]:
    def relative(bounds: Interval) -> list[float]:
        return [round(bounds.lower - origin, 6), round(bounds.upper - origin, 6)]

    samples = probing.samples()
    failures = [s for s in samples if not s.ok]
    return {
        "period": probing.period,
        "timeout": probing.timeout,
        "samples": sum(s.count for s in samples),
        "failures": sum(s.count for s in failures),
        "down": relative(seen.began) if seen else None,
        "back": relative(seen.ended) if seen else None,
        "notes": sorted({s.note for s in failures})[:10],
    }
