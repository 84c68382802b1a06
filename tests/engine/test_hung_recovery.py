"""The recovery itself hangs, as a user has it by a sentence, an action or an option: each phase in turn, and inconclusive when nothing hung."""

import dataclasses
from types import SimpleNamespace

import pytest
from real_servers import CLOCK
from test_killed_restore import IDENTITY, kit_that, place  # noqa: F401 -- a fixture
from test_steps_that_fail import DRILL

from drplatform.chaos import session
from drplatform.engine import hung_step, killed_restore, phrases, runbook
from drplatform.engine.recovery import Recovery
from drplatform.environment import apart as aparts
from drplatform.environment import fault, load_policy
from drplatform.model import clock as clocks
from drplatform.model import drill, errors, timeline
from drplatform.model.verdict import Verdict
from drplatform.stores import redis

STEPS = {
    "decide": "Choose the recovery point of redis",
    "provision": "Provision new servers for redis",
    "verify": "Check redis before it serves",
    "switch": "Switch the public name of redis",
    "rejoin": "Bring the replicas of redis back",
    "protect": "Back up redis again",
}


def hanging(phase):
    return tuple(drill.Recover(a.targets, hung=phase) if isinstance(a, drill.Recover) else a for a in DRILL)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(hung_step, "PATIENCE", 0.3)


def test_every_phase_that_is_offered_is_tried_here():
    assert {*STEPS, drill.RESTORING} == set(drill.HANGS)


QUICK = ("provision", "switch")


@pytest.mark.parametrize("phase", [pytest.param(p, marks=() if p in QUICK else (pytest.mark.soak,)) for p in STEPS])
def test_a_step_that_hangs_is_given_up_begun_again_and_the_drill_passes(memory_kit, run_drill, phase):
    evidence, running = run_drill(memory_kit, hanging(phase))
    assert evidence.verdict is Verdict.PASSED, evidence.summary
    (event,) = running.timeline.named(hung_step.EVENT)
    assert event.detail["step"] == STEPS[phase]
    done = [span["step"] for span in evidence.spans]
    at = done.index(STEPS[phase])
    assert done[at - 1] == f"Give up as hung: {STEPS[phase]}", "in the evidence, before the step itself"


@pytest.mark.parametrize("phase", STEPS)
def test_sabotaged_so_that_the_step_is_done_all_the_same_it_is_inconclusive(memory_kit, run_drill, monkeypatch, phase):
    """Whoever is to hang does it nevertheless."""
    hangs = hung_step._hanging

    def sabotaged(step, *rest):
        first, *others = hangs(step, *rest)

        def act():
            step.act()
            clocks.wait_for(memory_kit.clock, "the step to be done", step.done, within=30)
            first.act()

        yield dataclasses.replace(first, act=act) if others else first
        yield from others

    monkeypatch.setattr(hung_step, "_hanging", sabotaged)
    evidence, running = run_drill(memory_kit, hanging(phase))
    assert evidence.verdict is Verdict.INCONCLUSIVE, evidence.summary
    assert STEPS[phase] in evidence.summary and not running.timeline.named(hung_step.EVENT)


def test_a_recovery_in_which_nothing_hung_is_inconclusive(memory_kit, run_drill, monkeypatch):
    """Planted: the phase has no step."""
    monkeypatch.setattr(hung_step, "added", lambda steps, *rest: steps)
    evidence, _ = run_drill(memory_kit, hanging("switch"))
    assert evidence.verdict is Verdict.INCONCLUSIVE
    assert "was seen to hang" in evidence.summary


@pytest.mark.soak  # in `make test` by the experiment hang-recovery
def test_a_restore_hangs_in_the_middle_on_a_real_server_and_is_given_up(place, tmp_path):  # noqa: F811
    vault, target = place
    began = []

    def apart(endpoint):
        began.append(aparts.RestoreApart(endpoint, vault, [IDENTITY], tmp_path / f"apart-{len(began)}"))
        return began[-1]

    told = timeline.Timeline(CLOCK)
    killed_restore.kill_one(kit_that(apart), "redis", target, told, hangs=True)
    assert not began[0].running()
    assert [event.name for event in told] == [hung_step.EVENT, "restore.killed"]
    assert redis.connect(target, CLOCK).unfinished()


def test_a_restore_that_does_not_hang_proves_nothing():
    """Sabotaged: the signal does nothing, and the restore goes on."""

    class Target:
        def unfinished(self):
            return "plan"

        def halfway(self):
            return "plan"

        def resume(self, plan, again):
            raise AssertionError

        def close(self):
            pass

    class GoesOn:
        killed = False

        def running(self):
            return not self.killed

        def hang(self):
            pass

        hangs = said = lambda self: ""

        def kill(self):
            self.killed = True

    apart = GoesOn()
    kit = SimpleNamespace(apart=lambda endpoint: apart, connect=lambda endpoint: Target(), clock=clocks.FakeClock())
    with pytest.raises(errors.Inconclusive, match="not hang in the middle"):
        killed_restore.kill_one(kit, "redis", None, timeline.Timeline(kit.clock), hangs=True)
    assert apart.killed
    apart.killed, apart.hang = False, lambda: setattr(apart, "killed", True)  # it ends instead
    with pytest.raises(errors.Inconclusive, match="not hang in the middle"):
        killed_restore.kill_one(kit, "redis", None, timeline.Timeline(kit.clock), hangs=True)


# -- as it is asked for ---------------------------------------------------------------------------------------------------------------

FEATURE = """Feature: f
  Scenario: s
    Given clients write to Redis
    And Redis has a snapshot backup
    When the fault server-killed happens with stores: [redis]
    And recovery from backups{} brings back Redis as of its latest backup
    Then every acknowledged write is accounted for
"""


def read(words):
    (scenario,) = phrases.read_feature(FEATURE.format(words and f" {words}"), "f.feature", fault)
    return scenario


def recovery_of(scenario):
    (found,) = (a for a in scenario.activities if isinstance(a, drill.Recover))
    return found


def refused(scenario):
    with pytest.raises(errors.PlanError) as raised:
        drill.plan(scenario, load_policy(None), 1, frozenset())
    return str(raised.value)


def test_a_sentence_an_action_and_an_option_ask_for_the_same():
    of_sentence = recovery_of(read("hangs at switch, is begun again, and"))
    of_action = session.BUILDERS["recover"](targets={"redis": "latest"}, hung="switch")
    of_option = recovery_of(drill.struck(read(""), False, "switch"))
    for found in (of_sentence, of_action, of_option):
        assert found.hung == "switch" and not found.killed and "hangs at switch" in found.text
    assert recovery_of(drill.struck(read(""), True, "")).killed


def test_what_cannot_hang_is_refused_when_it_is_planned():
    assert "cannot hang at lunch; it can at decide, provision" in refused(read("hangs at lunch, is begun again, and"))
    assert "resumable:redis" in refused(read("hangs at restore, is begun again, and"))
    assert "choose one of the two" in refused(drill.struck(read(""), True, "restore"))
    without = drill.Scenario("F", "S", (), (drill.Steady(),))
    with pytest.raises(errors.PlanError, match="no recovery from backups"):
        drill.struck(without, True, "")


def test_the_runbook_that_people_read_has_nothing_that_hangs(memory_kit):
    plain = Recovery(memory_kit, timeline.Timeline(memory_kit.clock), {}, {"redis": "latest"}, "primary", lambda: None, {})
    assert "hung" not in runbook.render(plain.steps())
