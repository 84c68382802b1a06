"""Follows a runbook: a tuple of steps, each done when its condition holds. The steps that run are the document that people read."""

import functools
import threading
from collections.abc import Callable, Iterable
from concurrent import futures
from dataclasses import dataclass

from drplatform.model import errors
from drplatform.model.clock import Clock, wait_for
from drplatform.model.timeline import Timeline

SECONDS_TO_LET_GO = 15.0
SECONDS_TO_HEAR = 0.5
"""A signal that comes just before the main thread waits is heard when the wait is over, so no wait is longer."""


@dataclass(frozen=True)
class Step:
    """`act` does it, `done` looks whether it is done, within `timeout` seconds after it was acted. `why` is for the reader."""

    name: str
    phase: str
    act: Callable[[], object]
    done: Callable[[], bool]
    timeout: float
    why: str = ""


@dataclass(frozen=True)
class Together:
    """Steps that go on at once; a tuple of steps among them is done in its order."""

    steps: tuple["Step | tuple[Step, ...]", ...]


Runbook = Iterable[Step | Together]


def follow(runbook: Runbook, clock: Clock, timeline: Timeline) -> None:
    """Follow the steps in order. Raises RecoveryFailed naming the step that failed; VerificationFailed, IntegrityError, Inconclusive pass through."""
    for entry in runbook:
        if isinstance(entry, Together):
            _follow_together(entry, clock, timeline)
        else:
            _follow_one(entry, clock, timeline)


def _follow_together(entry: Together, clock: Clock, timeline: Timeline) -> None:
    """All run to their end; then the first failure, in the order of the steps, is raised.

    Interrupted, none begins another step, and those at work have a while to end: what they make later nobody would clear.
    """
    if not entry.steps:
        return
    over, running = threading.Event(), list[futures.Future[None]]()
    try:
        for step in entry.steps:
            running.append(_begun(functools.partial(_follow_each, _sequence(step), clock, timeline, over)))
        while futures.wait(running, SECONDS_TO_HEAR).not_done:
            pass
    except BaseException:
        over.set()
        futures.wait(running, SECONDS_TO_LET_GO)
        raise
    for future in running:
        future.result()


def _begun(work: Callable[[], None]) -> futures.Future[None]:
    """In a daemon thread, not in one of a pool: a step that hangs for ever must not keep the process from ending."""
    future = futures.Future[None]()

    def run() -> None:
        try:
            work()
            future.set_result(None)
        except BaseException as error:  # noqa: BLE001 -- a thread's body: raised again where the result is asked for
            future.set_exception(error)

    threading.Thread(target=run, name="runbook", daemon=True).start()
    return future


def _sequence(entry: "Step | tuple[Step, ...]") -> tuple[Step, ...]:
    return (entry,) if isinstance(entry, Step) else entry


def _follow_each(steps: tuple[Step, ...], clock: Clock, timeline: Timeline, over: threading.Event) -> None:
    for step in steps:
        if over.is_set():
            return
        _follow_one(step, clock, timeline)


def _follow_one(step: Step, clock: Clock, timeline: Timeline) -> None:
    timeline.add("step.begin", step=step.name, phase=step.phase)
    try:
        step.act()
        wait_for(clock, f"{step.name!r} to be done", step.done, within=step.timeout)
    except (errors.VerificationFailed, errors.IntegrityError, errors.Inconclusive, errors.NothingTouched) as error:
        timeline.add("step.failed", step=step.name, error=str(error))
        raise
    except Exception as error:
        timeline.add("step.failed", step=step.name, error=f"{type(error).__name__}: {error}")
        raise errors.RecoveryFailed(f"The step {step.name!r} of the recovery failed: {error}") from error
    timeline.add("step.end", step=step.name, phase=step.phase)


def at_work(timeline: Timeline) -> list[str]:
    """The names of the steps that were begun and have not ended."""
    begun = dict[str, bool]()
    for event in timeline:
        if event.name in ("step.begin", "step.end", "step.failed"):
            begun[event.detail["step"]] = event.name == "step.begin"
    return [step for step, still in begun.items() if still]


def render(runbook: Runbook) -> str:
    """The runbook as Markdown."""
    lines = ["| step | phase | done within | why |", "|---|---|---|---|"]
    for number, entry in enumerate(runbook, 1):
        steps = [s for e in entry.steps for s in _sequence(e)] if isinstance(entry, Together) else [entry]
        lines += [f"| {number}. {s.name} | {s.phase} | {s.timeout:g} s | {s.why} |" for s in steps]
    return "\n".join(lines) + "\n"
