"""Judgement: measurements and checks against targets. PASSED < INCONCLUSIVE < FAILED; the worst one rules.

Only PASSED counts as evidence of compliance, and only what was measured can pass: no finding, no pass.
"""

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from drplatform.model.clock import Interval


class Verdict(enum.IntEnum):
    PASSED = 0
    INCONCLUSIVE = 1
    FAILED = 2

    @property
    def exit_code(self) -> int:
        """0 passed, 1 failed, 2 inconclusive."""
        return {Verdict.PASSED: 0, Verdict.FAILED: 1, Verdict.INCONCLUSIVE: 2}[self]


@dataclass(frozen=True)
class Measurement:
    """One measured quantity beside its target: `rto` or `rpo` of a `subject` (a store), in seconds.

    `actual` is None when it could not be measured; `reason` then says why. The target is met by values below it.
    """

    name: str
    subject: str
    target: float
    actual: Interval | None
    reason: str = ""

    @property
    def verdict(self) -> Verdict:
        if self.actual is None:
            return Verdict.INCONCLUSIVE
        if self.actual.upper < self.target:
            return Verdict.PASSED
        return Verdict.FAILED if self.actual.lower >= self.target else Verdict.INCONCLUSIVE

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "subject": self.subject,
            "target": self.target,
            "lower": self.actual and round(self.actual.lower, 6),
            "upper": self.actual and round(self.actual.upper, 6),
            "verdict": self.verdict.name,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Check:
    """What one checker found. `control` tells whether the checker caught the defect planted for it in this run.

    A checker that missed its planted defect, or had none planted (None), cannot pass.
    """

    name: str
    verdict: Verdict
    finding: str
    control: bool | None = None

    @property
    def judged(self) -> Verdict:
        return max(self.verdict, Verdict.PASSED if self.control else Verdict.INCONCLUSIVE)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "verdict": self.judged.name,
            "finding": self.finding,
            "control": {True: "caught", False: "missed", None: "none planted"}[self.control],
        }


def check(name: str, examine: Callable[[Any], list[str]], subject: Any, planted: Any, passed: str) -> Check:
    """Run a checker on the subject and on a defect planted for it.

    `examine` returns the defects that it finds, in words. `planted` is a subject with a known defect.
    """
    defects = examine(subject)
    caught = bool(examine(planted))
    if defects:
        return Check(name, Verdict.FAILED, "; ".join(defects), caught)
    return Check(name, Verdict.PASSED, passed, caught)


def judge(measurements: Iterable[Measurement], checks: Iterable[Check], doubts: Iterable[str] = ()) -> Verdict:
    """The verdict of the whole: the worst of its parts; INCONCLUSIVE when there are no parts, or any doubt."""
    parts = [m.verdict for m in measurements] + [c.judged for c in checks]
    if any(doubts) or not parts:
        parts.append(Verdict.INCONCLUSIVE)
    return max(parts)
