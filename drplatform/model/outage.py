"""Recovery time from what a prober saw, with bounds.

A probe occupies the time from its start to its end. A success says that the service worked at some moment in between; a failure says
that it did not work through the whole of it. So the service came back after the START of the last failed probe and before the
END of the first success that began after that start.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from drplatform.model.clock import Interval


@dataclass(frozen=True)
class Sample:
    """One probe: when it began and ended (monotonic seconds), whether the service did its work, and a word on why not.

    Or `count` neighbouring probes that saw the same, as one.
    """

    start: float
    end: float
    ok: bool
    note: str = ""
    count: int = 1


@dataclass(frozen=True)
class Outage:
    """One interruption as the prober saw it. `began` and `ended` bound the two true moments (monotonic seconds)."""

    began: Interval
    ended: Interval
    failures: int

    def since(self, effect: Interval) -> Interval:
        """The recovery time in seconds when the fault took effect within `effect`."""
        return Interval(max(0.0, self.ended.lower - effect.upper), max(0.0, self.ended.upper - effect.lower))


def outage(samples: Sequence[Sample], effect: Interval, sustain: float) -> Outage | None:
    """The outage that a fault which took effect within `effect` caused, or None when it cannot be told.

    None when no probe that could have seen the fault failed, when the service did not come back, or when it was not then seen
    working for `sustain` seconds without a failure. Samples may overlap and be in any order.
    """
    ordered = sorted(samples, key=lambda s: (s.start, s.end))
    failures = [s for s in ordered if not s.ok and s.end >= effect.lower]
    if not failures:
        return None
    last_failure = max(s.start for s in failures)
    back = [s for s in ordered if s.ok and s.start >= last_failure]
    if not back or max(s.end for s in back) - min(s.end for s in back) < sustain:
        return None
    ended = Interval(max(last_failure, effect.lower), max(min(s.end for s in back), effect.lower))
    first_failure = min(failures, key=lambda s: s.end)
    worked = [s.start for s in ordered if s.ok and s.end <= first_failure.end and s.start <= effect.upper]
    began = Interval(min(max(worked, default=effect.lower), first_failure.end), first_failure.end)
    return Outage(began, ended, sum(s.count for s in failures))


def sustained(samples: Sequence[Sample], after: float, seconds: float) -> bool:
    """Whether, since `after`, the service was seen working for `seconds` without a failure up to the newest sample."""
    recent = [s for s in samples if s.end >= after]
    last_failure = max((s.start for s in recent if not s.ok), default=after)
    good = [s for s in recent if s.ok and s.start >= last_failure]
    return bool(good) and max(s.end for s in good) - min(s.start for s in good) >= seconds


def condensed(samples: Sequence[Sample], recent: int, edge: int) -> list[Sample]:
    """Samples in the order of their ends, in less room: of each run of equal ones, all but `edge` at either end become one.

    The last `recent` stay as they are. The recovery time is the same to the digit as long as `edge` is not less than the number of probes
    at once, and no probe lasts longer than the `recent` ones: only samples at the ends of runs decide it.
    """
    old, kept = samples[: len(samples) - recent], list[Sample]()
    for _, neighbours in groupby(old, key=lambda s: s.ok):
        run = list(neighbours)
        kept += [*run[:edge], _merged(run[edge:-edge]), *run[-edge:]] if len(run) > 2 * edge + 1 else run
    return [*kept, *samples[len(old) :]]


def _merged(run: Sequence[Sample]) -> Sample:
    return Sample(min(s.start for s in run), max(s.end for s in run), run[0].ok, run[0].note, sum(s.count for s in run))
