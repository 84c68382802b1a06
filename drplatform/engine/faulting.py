"""Causes faults in an order that never leaves one behind: capture, journal, apply, confirm, heal, confirm healed.

Written once for all faults. Undo is data: the journal holds what another process needs to heal after this one was killed.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from drplatform.engine import scan
from drplatform.model import errors, ports, powers
from drplatform.model.clock import Bound, Clock, Interval, unbounded, wait_for
from drplatform.model.timeline import Timeline

SECONDS_TO_APPLY = 1200.0
SECONDS_TO_CONFIRM = 10.0
SECONDS_TO_UNDO = 600.0
SECONDS_TO_HEAL = 60.0
"""How long a fault may take to be captured, or applied (beside its pace), then until it is seen; to be undone, then until that is seen."""

Lookup = Callable[[str], Callable[..., ports.Fault]]


@dataclass(frozen=True)
class Entry:
    """A fault of the journal: its number, kind, parameters, and the state before it."""

    number: int
    kind: str
    parameters: Mapping[str, Any]
    before: Mapping[str, Any]


class Faulting:
    """The faults of one run. A context manager: leaving it heals whatever is still in effect."""

    def __init__(self, scene: ports.Scene, journal: Path, clock: Clock, timeline: Timeline, bound: Bound = unbounded) -> None:
        self._scene, self._journal, self._clock, self._timeline, self._bound = scene, journal, clock, timeline, bound
        self._active: list[tuple[int, ports.Fault, Mapping[str, Any]]] = []
        self._count = max((row["number"] for row in _rows(journal)), default=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.heal_all()
        except errors.FaultNotHealed:
            if error is None:
                raise

    def inflict(self, fault: ports.Fault) -> ports.FaultEffect:
        """Cause the fault and have it confirmed. Raises FaultNotConfirmed when an independent look sees nothing of it.

        Raises Inconclusive when it has touched more servers than it had declared.
        """
        with self._within(fault, "captured", SECONDS_TO_APPLY):
            aim = fault.aim(self._scene) if isinstance(fault, powers.Aimed) else None
            before, looked = fault.capture(self._scene), scan.look(self._scene.platform)
        self._count += 1
        number = self._count
        _append(self._journal, {"event": "fault", "number": number, "kind": fault.kind, "parameters": _parameters(fault), "before": before})
        self._active.append((number, fault, before))
        begin = self._timeline.add("fault.begin", fault=fault.kind, parameters=_parameters(fault)).at.monotonic
        with self._within(fault, "applied", SECONDS_TO_APPLY + _paced(fault, aim)):
            fault.apply(self._scene)
        receipt = self._confirm(fault, before)
        confirmed = self._timeline.add("fault.confirmed", fault=fault.kind, targets=list(receipt.targets), seen=receipt.seen)
        if aim:
            scan.require_declared(looked, scan.look(self._scene.platform), aim, fault.kind)
        return ports.FaultEffect(fault.kind, fault.affects(), Interval(begin, confirmed.at.monotonic), receipt)

    @contextmanager
    def _within(self, fault: ports.Fault, done: str, seconds: float) -> Iterator[None]:
        try:
            with self._bound(f"{fault.kind} to be {done}", seconds):
                yield
        except errors.DeadlineExceeded as error:
            raise errors.FaultNotConfirmed(f"The fault {fault.kind} was not caused in time, so the run proves nothing: {error}") from error

    def _confirm(self, fault: ports.Fault, before: Mapping[str, Any]) -> ports.Receipt:
        try:
            return wait_for(
                self._clock,
                f"{fault.kind} to take effect",
                lambda: fault.confirm(self._scene, before),
                within=SECONDS_TO_CONFIRM,
                ignoring=(errors.StoreError,),
                until=lambda receipt: bool(receipt.targets),
            )
        except errors.DeadlineExceeded as error:
            self._timeline.add("fault.unconfirmed", fault=fault.kind, seen=error.last_seen)
            raise errors.FaultNotConfirmed(
                f"The fault {fault.kind} was applied, but an independent look sees nothing of it ({error.last_seen}); the run proves nothing."
            ) from error

    def heal_all(self) -> None:
        """Heal every fault, last in first out. All are attempted; raises FaultNotHealed naming each that remains."""
        remaining = []
        while self._active:
            number, fault, before = self._active.pop()
            try:
                _heal(fault, self._scene, before, self._bound)
            except errors.DrplatformError as error:
                self._timeline.add("fault.unhealed", fault=fault.kind, error=str(error))
                remaining.append(f"{fault.kind}: {error}")
                continue
            _append(self._journal, {"event": "healed", "number": number})
            self._timeline.add("fault.healed", fault=fault.kind)
        if remaining:
            raise errors.FaultNotHealed(f"Still in effect after healing: {'; '.join(remaining)}. Run `drplatform heal`.")


def pending(journal: Path) -> list[Entry]:
    """The faults of the journal that were not healed, latest first. A torn last line is no fault: it was not applied yet."""
    entries: dict[int, Entry] = {}
    for row in _rows(journal):
        if row["event"] == "fault":
            entries[row["number"]] = Entry(row["number"], row["kind"], row["parameters"], row["before"])
        else:
            entries.pop(row["number"], None)
    return [entries[number] for number in sorted(entries, reverse=True)]


def replay(journal: Path, scene: ports.Scene, lookup: Lookup, bound: Bound = unbounded) -> list[Entry]:
    """Heal what a killed run has left, from its journal; the faults that were healed. Raises FaultNotHealed."""
    healed = []
    for entry in pending(journal):
        try:
            fault = lookup(entry.kind)(**entry.parameters)
        except TypeError as error:
            raise errors.FaultNotHealed(
                f"The journal {journal} names {entry.kind} with parameters that it does not take: {error}."
            ) from error
        _heal(fault, scene, entry.before, bound)
        _append(journal, {"event": "healed", "number": entry.number})
        healed.append(entry)
    return healed


def _heal(fault: ports.Fault, scene: ports.Scene, before: Mapping[str, Any], bound: Bound) -> None:
    def healed() -> bool:
        return fault.healed(scene, before)

    try:
        with bound(f"{fault.kind} to be undone", SECONDS_TO_UNDO):
            fault.heal(scene, before)
        wait_for(scene.clock, f"{fault.kind} to be healed", healed, within=SECONDS_TO_HEAL, ignoring=(errors.StoreError,))
    except errors.DeadlineExceeded as error:
        raise errors.FaultNotHealed(str(error)) from error


def _paced(fault: ports.Fault, aim: powers.Aim | None) -> float:
    """Seconds that it takes its time for."""
    return fault.pace * len(aim.targets) if aim and isinstance(fault, powers.Paced) else 0.0


def _parameters(fault: ports.Fault) -> dict[str, Any]:
    return {f.name: getattr(fault, f.name) for f in dataclasses.fields(fault)}  # type: ignore[arg-type]


def _append(journal: Path, row: Mapping[str, Any]) -> None:
    """Durable before anything is touched: a line that is not on disk cannot heal."""
    with journal.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(row) + "\n")
        lines.flush()
        os.fsync(lines.fileno())


def _rows(journal: Path) -> list[dict[str, Any]]:
    if not journal.exists():
        return []
    whole, _, _ = journal.read_text().rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]
