"""What never returns is ended: a step of a recovery, alone or beside others, a fault, its healing. Never a pass, and nothing is left in effect."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from contextlib import nullcontext

import pytest
from hanging import WhenSomethingHangs
from test_steps_that_fail import DRILL

from drplatform.engine import faulting, runbook
from drplatform.engine.recovery import Recovery
from drplatform.environment import Settings, fault, interrupts, load_policy
from drplatform.environment.interrupts import Bounding
from drplatform.model import drill, errors, powers
from drplatform.model.clock import FakeClock
from drplatform.model.timeline import Timeline
from drplatform.model.verdict import Verdict


@pytest.fixture
def time_is_over(monkeypatch):
    monkeypatch.setattr(runbook, "SECONDS_TO_LET_GO", 0.1)
    made = WhenSomethingHangs()
    yield made
    made.release()


def bounded(kit, clock, words):
    """What is waited for in these words is ended when something hangs; nothing else is."""
    bounding = Bounding(clock)
    return dataclasses.replace(kit, bound=lambda what, *more: bounding(what, *more) if words in what else nullcontext())


def in_effect(kit):
    return [entry.kind for entry in faulting.pending(kit.directory / "faults.jsonl")]


@pytest.mark.parametrize("step", ["Choose the recovery point of redis", "Provision new servers for redis"])
def test_a_step_that_hangs_alone_or_beside_others_fails_the_drill_and_is_named(memory_kit, run_drill, time_is_over, monkeypatch, step):
    if step.startswith("Choose"):
        monkeypatch.setattr(Recovery, "_choose", time_is_over.hang)
    else:
        monkeypatch.setattr(type(memory_kit.platform), "provision", time_is_over.hang)
    evidence, _ = run_drill(bounded(memory_kit, time_is_over, "to end"), DRILL)
    assert evidence.verdict is Verdict.FAILED
    assert f"at work on {step!r}" in evidence.summary
    assert in_effect(memory_kit) == []


def sabotaged(kit, **replaced):
    def lookup(kind):
        return dataclasses.make_dataclass("Sabotaged", [], bases=(kit.faults(kind),), namespace=replaced, frozen=True)

    return dataclasses.replace(kit, faults=lookup)


@pytest.mark.parametrize(("method", "words"), [("capture", "to be captured"), ("apply", "to be applied")])
def test_a_fault_that_hangs_is_inconclusive_and_healed(memory_kit, run_drill, time_is_over, method, words):
    kit = sabotaged(memory_kit, **{method: lambda self, scene: time_is_over.hang()})
    evidence, _ = run_drill(bounded(kit, time_is_over, words), DRILL)
    assert evidence.verdict is Verdict.INCONCLUSIVE
    assert "Waited" in evidence.summary
    assert in_effect(kit) == []


def test_a_fault_whose_healing_hangs_is_inconclusive_and_stays_in_the_journal(memory_kit, run_drill, time_is_over):
    kit = sabotaged(memory_kit, heal=lambda self, scene, before: time_is_over.hang())
    evidence, _ = run_drill(bounded(kit, time_is_over, "to be undone"), DRILL)
    assert evidence.verdict is Verdict.INCONCLUSIVE
    assert "Run `drplatform heal`" in " ".join(evidence.doubts)
    assert in_effect(kit) == ["servers-lost"]


def test_a_process_of_which_a_step_hangs_for_ever_can_end():
    program = """
import threading
from drplatform.engine import runbook
from drplatform.environment import SystemClock, interrupts
from drplatform.model import errors
from drplatform.model.timeline import Timeline

runbook.SECONDS_TO_LET_GO = 0.1
clock = SystemClock()
step = runbook.Step("hang", "restore", threading.Event().wait, bool, 1.0)
try:
    with interrupts.Bounding(clock)("the steps to end", 0.1):
        runbook.follow([runbook.Together((step, step))], clock, Timeline(clock))
except errors.DeadlineExceeded as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (
        0,
        "Waited 0.1 s for the steps to end; last seen: nothing (DRPLATFORM_PATIENCE allows more seconds).\n",
    ), done.stderr


def test_what_ends_in_time_or_by_an_interruption_is_left_as_it_is(time_is_over):
    bounding, before = Bounding(time_is_over), signal.getsignal(interrupts.OVERDUE)
    with bounding("nothing", 1.0):
        pass
    with pytest.raises(KeyboardInterrupt), bounding("an interruption", 1.0):
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(30)
    with pytest.raises(errors.StoreError, match="its own"), bounding("an error", 1.0):
        raise errors.StoreError("its own")
    assert before is signal.SIG_DFL or signal.getsignal(interrupts.OVERDUE) == before
    signal.raise_signal(interrupts.OVERDUE)  # nobody is ended by one that comes late


def test_the_inner_of_two_bounds_ends_what_hangs_in_it_and_the_outer_goes_on(time_is_over, clock):
    patient, now = Bounding(clock), Bounding(time_is_over)
    with patient("the outer", 600.0), pytest.raises(errors.DeadlineExceeded, match="the inner"), now("the inner", 1.0):
        time_is_over.hang()
    with pytest.raises(errors.DeadlineExceeded, match="the outer"), now("the outer", 1.0), patient("the inner", 600.0):
        time_is_over.hang()


def test_only_the_main_thread_can_be_ended():
    found = []
    other = threading.Thread(target=lambda: found.append(Bounding(FakeClock())("in another thread", 1.0)))
    other.start()
    other.join()
    assert isinstance(found[0], nullcontext)


def test_steps_at_work_are_those_that_were_begun_and_have_not_ended():
    timeline = Timeline(FakeClock())
    for event, step in (("begin", "a"), ("begin", "b"), ("end", "a"), ("begin", "c"), ("failed", "c"), ("begin", "a")):
        timeline.add(f"step.{event}", step=step)
    assert runbook.at_work(timeline) == ["a", "b"]


def test_what_moves_data_may_take_twice_its_recovery_time_target_and_the_rest_half_an_hour():
    policy = load_policy(None)
    assert drill.patience(drill.Recover({"mongodb": drill.LATEST}), policy) == 2 * policy.rto("mongodb") > drill.PATIENCE
    assert drill.patience(drill.Expect("rto"), policy) == 2 * max(map(policy.rto, policy.stores))
    assert drill.patience(drill.Heal(), policy) == drill.PATIENCE
    strict = dataclasses.replace(policy, objectives=dataclasses.replace(policy.objectives, rto=dict.fromkeys(policy.objectives.rto, 0.001)))
    assert drill.patience(drill.Recover({"mongodb": drill.LATEST}), strict) == drill.PATIENCE


@pytest.mark.parametrize(("told", "seconds"), [("", 0.0), ("90", 90.0), ("0.5", 0.5)])
def test_it_can_be_set(told, seconds):
    assert Settings.read({"DRPLATFORM_PATIENCE": told, "HOME": "/nonexistent"}).patience == seconds
    found = Bounding(FakeClock(), seconds)("it", 1800.0)
    assert found._seconds == (seconds or 1800.0)


@pytest.mark.parametrize("told", ["soon", "-1", "nan", "inf"])
def test_what_is_no_number_of_seconds_is_refused(told):
    with pytest.raises(errors.SettingsError, match="DRPLATFORM_PATIENCE"):
        Settings.read({"DRPLATFORM_PATIENCE": told, "HOME": "/nonexistent"})


def test_a_fault_that_takes_its_time_for_each_of_its_targets_has_it():
    aim = powers.Aim(tuple("abc"), 3)
    assert faulting._paced(fault("ransomware")(pace=700.0), aim) == 2100.0
    assert faulting._paced(fault("server-killed")(), aim) == 0.0
