"""Steps of a runbook that hang: whoever does them does nothing, until that is noticed by what the step waits for; then they are begun again.

A step whose condition holds although nobody has done anything proves nothing, neither here nor in a recovery: the run is inconclusive.
"""

import threading
from collections.abc import Iterable, Iterator

from drplatform.engine import runbook
from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.model.timeline import Timeline

EVENT = "step.hung"
PATIENCE = 3.0
"""Seconds after which whoever watches gives up a step in which nothing happens."""
PERIOD = 0.1


def added(
    steps: Iterable[runbook.Step | runbook.Together], phase: str, clock: Clock, timeline: Timeline
) -> Iterator[runbook.Step | runbook.Together]:
    """The runbook, with a step that hangs before each of the phase."""
    for entry in steps:
        if isinstance(entry, runbook.Together):
            yield runbook.Together(tuple(_sequence(one, phase, clock, timeline) for one in entry.steps))
        else:
            yield from _hanging(entry, phase, clock, timeline)


def _sequence(entry: "runbook.Step | tuple[runbook.Step, ...]", phase: str, clock: Clock, timeline: Timeline) -> tuple[runbook.Step, ...]:
    steps = (entry,) if isinstance(entry, runbook.Step) else entry
    return tuple(each for step in steps for each in _hanging(step, phase, clock, timeline))


def _hanging(step: runbook.Step, phase: str, clock: Clock, timeline: Timeline) -> Iterator[runbook.Step]:
    noticed = list[str]()

    def act() -> None:
        never, end = threading.Event(), clock.monotonic() + PATIENCE
        while clock.monotonic() < end:
            if step.done():
                raise errors.Inconclusive(
                    f"The step {step.name!r} counts as done although nobody has done it; that it hangs proves nothing."
                )
            clock.wait(never, PERIOD)
        timeline.add(EVENT, step=step.name, seconds=PATIENCE)
        noticed.append(step.name)

    if step.phase == phase:
        why = "Whoever does it may hang. That is seen, because the step waits for what it has to bring about."
        yield runbook.Step(f"Give up as hung: {step.name}", phase, act, lambda: bool(noticed), PATIENCE, why)
    yield step
