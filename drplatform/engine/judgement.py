"""Judgement of one drill: from what was found to the verdict, and to the sentences that say why."""

from drplatform.engine.examination import Findings, Part
from drplatform.engine.record import Record
from drplatform.model import drill, errors
from drplatform.model.verdict import Check, Measurement, Verdict, judge


def require(activity: drill.Expect, parts: tuple[Part, ...]) -> None:
    """Raise VerificationFailed or Inconclusive unless every part passed, and there is one."""
    chosen = [p for p in parts if not activity.stores or _subject(p) in activity.stores]
    if not chosen:
        raise errors.Inconclusive(f"{activity.text!r}: there was nothing to judge.")
    worst = max(map(judged, chosen))
    words = "; ".join(describe(p) for p in chosen if judged(p) is not Verdict.PASSED)
    if worst is Verdict.FAILED:
        raise errors.VerificationFailed(words)
    if worst is Verdict.INCONCLUSIVE:
        raise errors.Inconclusive(words)


def describe(part: Part) -> str:
    """One finding in words."""
    if isinstance(part, Check):
        control = {True: "", False: " (the checker missed its planted defect)", None: " (no defect was planted)"}[part.control]
        return f"{part.name}: {part.finding}{control}"
    if part.actual is None:
        return f"{part.name} of {part.subject}: {part.reason}"
    return f"{part.name} of {part.subject}: between {part.actual.lower:.3f} and {part.actual.upper:.3f} s, target below {part.target:g} s"


def judged(part: Part) -> Verdict:
    return part.judged if isinstance(part, Check) else part.verdict


def _subject(part: Part) -> str:
    return part.subject if isinstance(part, Measurement) else part.name.split()[0]


def verdict(plan: drill.Plan, record: Record, findings: Findings) -> Verdict:
    """The worst of all findings and failures; INCONCLUSIVE when something did not run, or is in doubt."""
    unrun = [a.text for a in plan.scenario.activities[len(record.results) :]]
    doubts = [*record.doubts, *(f"{text!r} did not run" for text in unrun)]
    unmeasured = not findings.measurements or not findings.checks
    judged = judge(findings.measurements, findings.checks, [*doubts, *(["nothing was measured"] if unmeasured else [])])
    return max([judged, *(weight for weight, _ in record.failures)])
