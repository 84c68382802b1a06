"""The recovery itself is hit: each step of the runbook in turn is killed, or hangs. Never PASSED, and the step is named."""

import dataclasses

import pytest

from drplatform.engine import runbook, users
from drplatform.model import drill, errors
from drplatform.model.backup import BackupKind
from drplatform.model.verdict import Verdict

STORES = ("redis",)
DRILL = (
    drill.Steady(),
    drill.Seed(STORES),
    drill.Write(STORES),
    drill.BackUp("redis", BackupKind.SNAPSHOT),
    drill.GoOnWriting(10),
    drill.Inflict("servers-lost", {"region": "primary", "stores": STORES}),
    drill.Recover({"redis": drill.LATEST}),
    drill.Expect("answers"),
    drill.Expect("rto"),
    drill.Expect("rpo"),
)
STEPS = (
    "See that redis is down",
    "Fence what is left of redis",
    "Choose the recovery point of redis",
    "Provision new servers for redis",
    "Restore redis",
    "Check redis before it serves",
    "Switch the public name of redis",
    "Bring the replicas of redis back",
    "Back up redis again",
)


def killed(step):
    def act():
        raise errors.StoreError("planted: the step was killed")

    return dataclasses.replace(step, act=act)


def hung(step):
    return dataclasses.replace(step, done=lambda: False, timeout=0.2)


@pytest.fixture
def hit(monkeypatch):
    """Make a step of any runbook another, by its name."""

    def hit(name, how):
        follow = runbook._follow_one
        monkeypatch.setattr(runbook, "_follow_one", lambda step, *rest: follow(how(step) if step.name == name else step, *rest))

    monkeypatch.setattr(users, "SECONDS_TO_SETTLE", 0.5)  # nobody waits long for what does not come
    return hit


def test_all_steps_are_hit(memory_kit, run_drill):
    evidence, _ = run_drill(memory_kit, DRILL)
    assert evidence.verdict is Verdict.PASSED, evidence.summary
    found = tuple(span["step"] for span in evidence.spans)
    assert found == STEPS, found


@pytest.mark.parametrize("how", [killed, hung])
@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_is_hit_fails_the_drill_and_is_named(memory_kit, run_drill, hit, step, how):
    hit(step, how)
    evidence, _ = run_drill(memory_kit, DRILL)
    assert evidence.verdict is Verdict.FAILED
    assert step in evidence.summary
    assert all(fault["fault"] == "servers-lost" for fault in evidence.faults), "the disaster itself is confirmed"
