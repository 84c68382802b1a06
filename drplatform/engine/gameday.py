"""A game day: a disaster drawn at random and unannounced, a person who recovers by the runbook, and a clock that tells detect, decide, repair.

The runbook is the one that drills follow; here each step waits for the person's word. Knows no terminal: the person is a port.
"""

import dataclasses
import itertools
import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from drplatform.engine.drill import Drill
from drplatform.model import drill, errors, instructions
from drplatform.model.backup import BackupKind
from drplatform.model.clock import Clock, Interval
from drplatform.model.evidence import Evidence
from drplatform.model.timeline import Event

STORES = ("mongodb", "redis", "files")
RECOVER, RESTART = "recover", "restart"

HELP = f"""status               are the users of each store served?
servers              which servers run?
detected             you have seen an incident
{RECOVER} STORE ...    the stores' servers and disks are lost: recover these stores from their backups
{RESTART} STORE ...    their disks are there: start the servers of these stores again
give up              end the game day"""


class Person(Protocol):
    """Who recovers. `ask` returns a line; raises EOFError when the person has gone."""

    def tell(self, text: str) -> None: ...

    def ask(self, prompt: str) -> str: ...


@dataclass(frozen=True)
class Incident:
    """What is going to happen, and what mends it. `after` is when, in seconds from the moment at which the person may look."""

    fault: drill.Activity
    cure: str
    stores: tuple[str, ...]
    after: float


def draw(generator: random.Random, within: float) -> Incident:
    """An incident at random: which disaster, of which stores, when (seconds from 0 to `within`)."""
    after = generator.uniform(0.0, within)
    if generator.random() < 0.25:
        return Incident(drill.Inflict("region-killed", {"region": "primary"}, text="the primary region is killed"), RESTART, STORES, after)
    groups = [g for size in (1, 2, 3) for g in itertools.combinations(STORES, size)]
    stores = generator.choice(groups)
    text = f"the {' and '.join(stores)} servers of the primary region are killed and their disks are lost"
    return Incident(drill.Inflict("servers-lost", {"region": "primary", "stores": stores}, text=text), RECOVER, stores, after)


def scenario(incident: Incident) -> drill.Scenario:
    """The drill that the game day is, with the disaster in it. Its name does not tell."""
    cure = (
        drill.Recover(dict.fromkeys(incident.stores, drill.LATEST), text="a person recovers by the runbook")
        if incident.cure == RECOVER
        else drill.Restart(incident.stores, text="a person starts the servers again")
    )
    before: tuple[drill.Activity, ...] = (
        drill.Steady(text="the platform runs in two regions"),
        drill.Seed(STORES, text="all stores hold reference data"),
        drill.Write(STORES, text="clients write to all stores"),
        drill.BackUp("mongodb", BackupKind.FULL, text="MongoDB has a full backup"),
        drill.Capture("mongodb", text="the log of MongoDB is captured continuously"),
        drill.BackUp("redis", BackupKind.SNAPSHOT, text="Redis has a snapshot backup"),
        drill.Capture("redis", text="the log of Redis is captured continuously"),
        drill.BackUp("files", BackupKind.FULL, text="file storage has a full backup"),
        drill.GoOnWriting(30, text="clients have written 30 more times to each store"),
    )
    judgements = {"accounted": "every acknowledged write is accounted for", "rto": "the recovery time of each store meets its objective",
                  "rpo": "the data loss of each store meets its objective", "answers": "every store answers through its public name"}  # fmt: skip
    after = tuple(drill.Expect(name, text=text) for name, text in judgements.items())
    return drill.Scenario("Game days", "Game day", ("gameday",), (*before, incident.fault, cure, *after), "gameday")


@dataclass(frozen=True)
class Times:
    """How long a person took, in seconds with bounds: from the disaster to its detection, then to the decision, then to service."""

    detect: Interval
    decide: Interval
    repair: Interval
    false_alarms: int = 0
    wrong_decisions: int = 0


@dataclass
class GameDay:
    """One game day. Give `listen` to the drill as its listener; then `play` it."""

    incident: Incident
    person: Person
    clock: Clock
    false_alarms: int = 0
    wrong_decisions: int = 0
    _gate: threading.Lock = field(default_factory=threading.Lock)
    _guided: bool = False
    _gone: bool = False

    def listen(self, event: Event) -> None:
        """Each step of the runbook waits here, in the thread that follows it, until the person says so."""
        if event.name == "step.begin" and self._guided:
            self._await_word(str(event.detail["step"]), str(event.detail.get("phase", "")))

    def play(self, running: Drill) -> tuple[Evidence, Times]:
        """Prepare, strike, let the person recover, and conclude. Raises Inconclusive when the person gives up or goes."""
        activities = running.plan.scenario.activities
        strike = next(i for i, a in enumerate(activities) if isinstance(a, drill.Inflict))
        for activity in activities[:strike]:
            running.perform(activity)
        detected, decided = self._incident(running, activities[strike])
        self._guided = True
        running.perform(activities[strike + 1])
        self._guided = False
        served = self.clock.monotonic()
        self._sign(running)
        self._expect(running, activities[strike + 2 :])
        times = self._times(running, detected, decided, served)
        return _timed(running.conclude(), times), times

    # -- detect and decide ------------------------------------------------------------------------------------------------------

    def _incident(self, running: Drill, fault: drill.Activity) -> tuple[float, float]:
        """The disaster strikes beside the person's console; returns when it was detected and decided (monotonic seconds)."""
        striking = _Strike(running, fault, self.clock, self.incident.after)
        striking.start()
        try:
            self.person.tell("The platform serves, and clients write. Something may happen at any moment.\n\n" + HELP)
            detected = self._await_detection(running, striking)
            decided = self._await_decision(running)
        finally:
            striking.stop()
        return detected, decided

    def _await_detection(self, running: Drill, striking: "_Strike") -> float:
        while True:
            words = self._command(running, "What do you see?")
            if words != ["detected"]:
                self.person.tell("Say `detected` when you have seen an incident; look with `status` and `servers`.")
            elif not striking.struck():
                self.false_alarms += 1
                self.person.tell("A false alarm: nothing has happened yet.")
            else:
                running.timeline.add("gameday.detected", false_alarms=self.false_alarms)
                return self.clock.monotonic()

    def _await_decision(self, running: Drill) -> float:
        while True:
            words = self._command(running, "What do you do?")
            if words[:1] not in ([RECOVER], [RESTART]):
                self.person.tell(f"Say `{RECOVER} STORE ...` or `{RESTART} STORE ...`; stores are {', '.join(STORES)}.")
            elif (words[0], set(words[1:])) != (self.incident.cure, set(self.incident.stores)):
                self.wrong_decisions += 1
                self.person.tell("That does not bring back everything that is gone, or more than that. Look again.")
            else:
                running.timeline.add("gameday.decided", component=" ".join(words), wrong_decisions=self.wrong_decisions)
                return self.clock.monotonic()

    def _command(self, running: Drill, prompt: str) -> list[str]:
        """The next line that is no look."""
        while True:
            words = self._line(prompt).replace(",", " ").split()
            if words == ["status"]:
                self.person.tell(_served(running))
            elif words == ["servers"]:
                self.person.tell(_servers(running))
            elif words == ["give", "up"]:
                raise errors.Inconclusive("The person gave up; the game day proves nothing.")
            elif words:
                return words

    # -- repair -----------------------------------------------------------------------------------------------------------------

    def _await_word(self, name: str, phase: str) -> None:
        with self._gate:
            if self._gone:
                raise errors.Inconclusive("The person gave up; the game day proves nothing.")
            self.person.tell(_guide(name, phase))
            while (word := self._line("go when you want it done")) != "go":
                if word == "give up":
                    self._gone = True
                    raise errors.Inconclusive("The person gave up; the game day proves nothing.")

    def _sign(self, running: Drill) -> None:
        """Two people sign: who recovered, and somebody else who has looked at critical functionality."""
        self.person.tell(_served(running))
        recovered = self._name("Recovered by (name):", "")
        verified = self._name("Critical functionality verified by (another name):", recovered)
        running.timeline.add("gameday.signed", role="recovered", who=recovered)
        running.timeline.add("gameday.signed", role="verified", who=verified)

    def _name(self, prompt: str, taken: str) -> str:
        while True:
            name = self._line(prompt).strip()
            if name and name != taken:
                return name
            self.person.tell("A name is needed, and not twice the same.")

    def _line(self, prompt: str) -> str:
        try:
            return self.person.ask(prompt).strip()
        except EOFError as error:
            self._gone = True
            raise errors.Inconclusive("The person has gone; the game day proves nothing.") from error

    # -- the end ----------------------------------------------------------------------------------------------------------------

    def _expect(self, running: Drill, activities: Sequence[drill.Activity]) -> None:
        """Every expectation is judged, whatever became of those before it; the verdict holds them all."""
        for activity in activities:
            try:
                running.perform(activity)
            except errors.DrplatformError as error:
                self.person.tell(str(error))

    def _times(self, running: Drill, detected: float, decided: float, served: float) -> Times:
        effect = running.record.effects[-1].effect
        return Times(
            detect=Interval(max(0.0, detected - effect.upper), max(0.0, detected - effect.lower)),
            decide=Interval(decided - detected, decided - detected),
            repair=Interval(served - decided, served - decided),
            false_alarms=self.false_alarms,
            wrong_decisions=self.wrong_decisions,
        )


class _Strike:
    """The disaster, in a thread of its own, some time after `start`."""

    def __init__(self, running: Drill, fault: drill.Activity, clock: Clock, after: float) -> None:
        self._running, self._fault, self._clock, self._after = running, fault, clock, after
        self._never, self._done = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._strike, name="game-day", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def struck(self) -> bool:
        """Whether it took effect. Raises what went wrong with it."""
        if self._error:
            raise errors.Inconclusive(f"The disaster of the game day did not happen: {self._error}") from self._error
        return self._done.is_set()

    def stop(self) -> None:
        self._never.set()
        self._thread.join(120)

    def _strike(self) -> None:
        if self._clock.wait(self._never, self._after):
            return
        try:
            self._running.perform(self._fault)
            self._done.set()
        except Exception as error:  # noqa: BLE001  the body of a thread: kept, and raised by struck()
            self._error = error


def _timed(evidence: Evidence, times: Times) -> Evidence:
    """The person's times beside the phases of the steps."""
    phases = {f"person: {name}": round(getattr(times, name).upper, 3) for name in ("detect", "decide", "repair")}
    return dataclasses.replace(evidence, phases={**evidence.phases, **phases})


def _served(running: Drill) -> str:
    words: Mapping[bool, str] = {True: "users are served", False: "users are NOT served"}
    return "\n".join(f"{store:10} {words[running.answers(store, 3.0)]}" for store in running.plan.stores)


def _servers(running: Drill) -> str:
    found = [i for region in running.kit.platform.regions for i in region.instances]
    return "\n".join(f"{i.name:24} {i.region:10} {'runs' if i.running() else 'DOES NOT RUN'}" for i in found)


def _guide(name: str, phase: str) -> str:
    """What the runbook says of the step, which names the store, or a server of it."""
    store = next((s for s in STORES if any(word == s or word.startswith(f"{s}-") for word in name.split())), "the store")
    step = instructions.instruction(name, phase, "", 0.0, store)
    return f"\n{name}\n  by hand:  {step.command.splitlines()[0]}\n  done when: {step.tell}\n  take back: {step.undo}"
