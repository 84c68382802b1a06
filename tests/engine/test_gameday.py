"""Game days on the memory platform, played by a person who follows a script."""

import dataclasses
import random

import pytest

from drplatform import environment
from drplatform.engine import gameday, phrases
from drplatform.engine.capabilities import offered
from drplatform.engine.drill import Drill
from drplatform.model import drill, errors
from drplatform.model.clock import wait_for
from drplatform.model.verdict import Verdict

FILES_LOST = gameday.Incident(
    drill.Inflict("servers-lost", {"region": "primary", "stores": ("files",)}, text="lost"), gameday.RECOVER, ("files",), 0.0
)
REGION_KILLED = gameday.Incident(drill.Inflict("region-killed", {"region": "primary"}, text="killed"), gameday.RESTART, gameday.STORES, 0.0)


class Script:
    """A person who gives these answers to these prompts, in their order, and the last one for ever; `go` for every step."""

    def __init__(self, see=("detected",), do=("recover files",), names=("Ada", "Grace"), go="go", before=lambda: None):
        self.lines = {"see": list(see), "do": list(do), "name": list(names), "go": [go]}
        self.told, self.steps, self.before = [], 0, before

    def tell(self, text):
        self.told.append(text)

    def ask(self, prompt):
        which = "see" if "see" in prompt else "go" if prompt.startswith("go") else "name" if "name" in prompt else "do"
        self.steps += which == "go"
        if which == "see":
            self.before()
        answers = self.lines[which]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is None:
            raise EOFError
        return answer


@pytest.fixture
def play(memory_kit, clock):
    """Play the incident with a person who looks up only when it has struck (unless `early`)."""

    def run(incident, person, early=False):
        incident = dataclasses.replace(incident, fault=phrases.with_needs([incident.fault], environment.fault)[0])
        day = gameday.GameDay(incident, person, clock)
        kit = dataclasses.replace(memory_kit, listener=day.listen)
        plan = drill.plan(gameday.scenario(incident), kit.policy, 7, offered(kit.platform, kit.stores, environment.fault_kinds()))
        with Drill(plan, kit, "day-1") as running:
            if not early:
                person.before = lambda: wait_for(clock, "the disaster", lambda: running.record.effects, within=30)
            evidence, times = day.play(running)
            return evidence, times, day

    return run


def names(evidence):
    return [e["name"] for e in evidence.timeline]


def test_a_person_recovers_by_the_runbook_and_is_timed(play):
    person = Script(see=("status", "servers", "detected"), names=("", "Ada", "Ada", "Grace"))
    evidence, times, _ = play(FILES_LOST, person)
    assert evidence.verdict is Verdict.PASSED, (evidence.summary, evidence.doubts)
    assert person.steps == 9, "every step waits for a word"
    assert 0 <= times.detect.lower <= times.detect.upper and times.repair.lower > 0
    rto = next(m for m in evidence.measurements if (m["name"], m["subject"]) == ("rto", "files"))
    assert rto["lower"] <= times.detect.upper + times.decide.upper + times.repair.upper, "users were back before the person was done"
    order = [n for n in names(evidence) if n in ("fault.confirmed", "gameday.detected", "gameday.decided", "gameday.signed", "step.begin")]
    assert order[:3] == ["fault.confirmed", "gameday.detected", "gameday.decided"] and order[-2:] == ["gameday.signed"] * 2
    signed = [(e["detail"]["role"], e["detail"]["who"]) for e in evidence.timeline if e["name"] == "gameday.signed"]
    assert signed == [("recovered", "Ada"), ("verified", "Grace")], "two people sign"
    assert evidence.phases["person: repair"] == pytest.approx(times.repair.upper, abs=0.001)
    assert any("users are NOT served" in text for text in person.told) and any("DOES NOT RUN" in text for text in person.told)


def test_servers_with_their_disks_are_started_again_after_false_alarms_and_wrong_decisions(play):
    waiting = dataclasses.replace(REGION_KILLED, after=0.6)
    person = Script(see=("what", "detected"), do=("status", "recover redis", "restart files", "files", "restart mongodb, redis, files"))
    evidence, times, _ = play(waiting, person, early=True)
    assert evidence.verdict is Verdict.PASSED, (evidence.summary, evidence.doubts)
    assert times.false_alarms >= 1 and times.wrong_decisions == 2


@pytest.mark.parametrize(
    "person",
    [Script(see=(None,)), Script(do=("give up",))],
    ids=["goes", "gives up"],
)
def test_without_a_person_nothing_is_proven(play, person):
    with pytest.raises(errors.Inconclusive):
        play(FILES_LOST, person)


def test_a_person_who_gives_up_in_the_middle_of_the_runbook(play):
    with pytest.raises(errors.DrplatformError) as caught:
        play(FILES_LOST, Script(go="give up"))
    assert "gave up" in str(caught.value)


def test_what_is_drawn_follows_from_the_seed_and_is_not_told():
    drawn = [gameday.draw(random.Random(seed), 20) for seed in range(300)]
    assert drawn == [gameday.draw(random.Random(seed), 20) for seed in range(300)]
    assert len({i.stores for i in drawn if i.cure == gameday.RECOVER}) == 7 and {i.cure for i in drawn} == {
        gameday.RECOVER,
        gameday.RESTART,
    }
    assert all(0 <= i.after <= 20 for i in drawn)
    assert {gameday.scenario(i).name for i in drawn} == {"Game day"}
