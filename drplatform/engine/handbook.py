"""The runbooks of all components, read from the recoveries that run: nothing is written twice. Does nothing to any platform."""

from collections.abc import Iterable

from drplatform.engine import configuration_drill, recovery, runbook
from drplatform.engine.kit import Kit
from drplatform.model import drill, instructions
from drplatform.model.instructions import Book, Instruction
from drplatform.model.timeline import Timeline

WHEN = "Users of {store} are not served, and its servers do not come back by themselves; or its data are wrong."

WHICH_POINT = "The latest, unless the data were wrong before the outage: then the moment just before they became so."


def books(kit: Kit, stores: Iterable[str]) -> tuple[Book, ...]:
    """One runbook for each store: its recovery from backups alone."""
    return tuple(_book(kit, store) for store in stores)


def steps(kit: Kit, store: str) -> tuple[runbook.Step | runbook.Together, ...]:
    """The steps that the recovery of the store follows, not followed yet."""
    if kit.policy.stores[store].kind == configuration_drill.STORE:
        state = recovery.Recovered(store, drill.LATEST)
        return configuration_drill.ConfigurationRecovery(kit, Timeline(kit.clock), {}, state).steps()
    plan = recovery.Recovery(kit, Timeline(kit.clock), {}, {store: drill.LATEST}, kit.platform.regions[0].name, lambda: None, {})
    return plan.steps()


def _book(kit: Kit, store: str) -> Book:
    listed = tuple(_instructions(steps(kit, store), store))
    return Book(store, f"Recovery of {store} from its backups", WHEN.format(store=store), listed)


def _instructions(entries: Iterable[runbook.Step | runbook.Together], store: str) -> Iterable[Instruction]:
    for entry in entries:
        for number, lane in enumerate(lanes(entry)):
            for place, step in enumerate(lane):
                together = number > 0 and place == 0
                why = WHICH_POINT if step.phase == "decide" else step.why
                yield instructions.instruction(step.name, step.phase, why, step.timeout, store, together=together)


def lanes(entry: runbook.Step | runbook.Together) -> tuple[tuple[runbook.Step, ...], ...]:
    """What goes on at once: each lane is steps in their order."""
    if isinstance(entry, runbook.Step):
        return ((entry,),)
    return tuple(lane if isinstance(lane, tuple) else (lane,) for lane in entry.steps)
