"""Runbooks: in order, what goes together at once, each step done when its condition holds and not before, stopping at a failure."""

import os
import signal
import threading
from types import SimpleNamespace

import pytest

from drplatform.engine import runbook
from drplatform.engine.runbook import Step, Together
from drplatform.model import errors
from drplatform.model.clock import FakeClock
from drplatform.model.timeline import Timeline


@pytest.fixture
def fake():
    return FakeClock()


@pytest.fixture
def timeline(fake):
    return Timeline(fake)


def step(name, did, *, act=None, done=lambda: True, timeout=5.0):
    def acted():
        did.append(name)
        if act:
            act()

    return Step(name, "restore", acted, done, timeout, f"why {name}")


def events(timeline):
    return [(e.name, e.detail["step"]) for e in timeline]


def test_steps_are_followed_in_their_order(fake, timeline):
    did = []
    runbook.follow([step("a", did), step("b", did), step("c", did)], fake, timeline)
    assert did == ["a", "b", "c"]
    assert events(timeline) == [(f"step.{e}", s) for s in "abc" for e in ("begin", "end")]
    assert {e.detail["phase"] for e in timeline} == {"restore"}


def test_a_step_ends_when_its_condition_holds_and_not_before(fake, timeline):
    did = []
    runbook.follow([step("a", did, done=lambda: fake.elapsed >= 3), step("b", did)], fake, timeline)
    (end,), (begin,) = timeline.named("step.end", step="a"), timeline.named("step.begin", step="b")
    assert 3 <= end.at.monotonic <= 3.1
    assert begin.at.monotonic >= end.at.monotonic


def test_a_step_that_is_not_done_in_time_stops_the_runbook(fake, timeline):
    did = []
    with pytest.raises(
        errors.RecoveryFailed, match=r"The step 'b' of the recovery failed: Waited 2 s for 'b' to be done; last seen: False"
    ):
        runbook.follow([step("a", did), step("b", did, done=lambda: False, timeout=2), step("c", did)], fake, timeline)
    assert did == ["a", "b"]
    assert events(timeline)[-1] == ("step.failed", "b")
    assert 2 <= fake.elapsed < 2.1, "no longer than its budget"


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (errors.StoreError("no server"), errors.RecoveryFailed),
        (ZeroDivisionError("a defect"), errors.RecoveryFailed),
        (errors.VerificationFailed("wrong data"), errors.VerificationFailed),
        (errors.IntegrityError("damaged"), errors.IntegrityError),
        (errors.TargetRefused("occupied"), errors.TargetRefused),
    ],
)
def test_a_step_that_fails_stops_the_runbook_and_is_named(fake, timeline, raised, expected):
    did = []

    def fail():
        raise raised

    with pytest.raises(expected, match=str(raised)) as caught:
        runbook.follow([step("a", did, act=fail), step("b", did)], fake, timeline)
    assert did == ["a"]
    assert caught.value is raised or caught.value.__cause__ is raised
    assert str(raised) in timeline.named("step.failed", step="a")[0].detail["error"]


def test_an_interruption_passes_through(fake, timeline):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runbook.follow([step("a", [], act=interrupt)], fake, timeline)


def test_what_goes_together_goes_on_at_once(clock):
    meeting = threading.Barrier(3, timeout=20)
    did, timeline = [], Timeline(clock)
    together = Together(tuple(step(name, did, act=meeting.wait) for name in "abc"))
    runbook.follow([step("first", did), together, step("last", did)], clock, timeline)
    assert did[0] == "first" and did[-1] == "last" and set(did[1:-1]) == set("abc")
    runbook.follow([Together(())], clock, timeline)


def test_together_all_run_to_their_end_and_the_first_failure_is_told(clock):
    failed, did = threading.Event(), []

    def fail():
        failed.set()
        raise errors.StoreError("planted")

    def slow():
        assert failed.wait(20)

    together = Together((step("slow", did, act=slow), step("bad", did, act=fail), step("worse", did, act=fail)))
    timeline = Timeline(clock)
    with pytest.raises(errors.RecoveryFailed, match="'bad'"):
        runbook.follow([together, step("after", did)], clock, timeline)
    assert "after" not in did
    assert timeline.named("step.end", step="slow") and timeline.named("step.failed", step="worse")


def test_a_runbook_reads_as_a_document():
    text = runbook.render([step("a", []), Together((step("b", []), step("c", [], timeout=90)))])
    assert text.splitlines()[2:] == [
        "| 1. a | restore | 5 s | why a |",
        "| 2. b | restore | 5 s | why b |",
        "| 2. c | restore | 90 s | why c |",
    ]


def test_an_interruption_waits_for_the_steps_at_work_and_begins_no_other(clock, timeline, monkeypatch):
    """Ctrl-C or a stop condition while steps go on at once: what a step made after the run was cleared would be left behind."""
    did, ended, other, heard = [], [], threading.Event(), threading.Event()

    class Over(threading.Event):
        def set(self):
            super().set()
            heard.set()

    monkeypatch.setattr(runbook, "threading", SimpleNamespace(Event=Over, Thread=threading.Thread))

    def at_work():
        other.wait(30)
        os.kill(os.getpid(), signal.SIGINT)  # heard by the main thread, which waits
        assert heard.wait(30)
        ended.append("work")

    first = (step("at work", did, act=at_work), step("never", did))
    with pytest.raises(KeyboardInterrupt):
        runbook.follow([Together((first, step("other", did, act=other.set))), step("nor this", did)], clock, timeline)
    assert ended == ["work"] and did == ["at work", "other"]
