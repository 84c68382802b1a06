"""The half-yearly drills on real servers, and what they would say of a region that lost what it should not have."""

import dataclasses
import os
from pathlib import Path

import pytest

from drplatform import environment
from drplatform.engine import region_checks
from drplatform.environment import Environment, Settings
from drplatform.model.clock import Interval
from drplatform.model.ledger import Entry, Mark, Outcome
from drplatform.model.loss import compare
from drplatform.model.outage import Outage
from drplatform.model.verdict import Verdict

FEATURE = Path(__file__).parents[2] / "features/biannual/region_failover.feature"
SCENARIOS = environment.read_feature(FEATURE)


@pytest.fixture
def env(tmp_path):
    variables = {"DRPLATFORM_STATE": str(tmp_path / "state"), "DRPLATFORM_SCRATCH": str(tmp_path / "scratch")}
    (tmp_path / "scratch").mkdir()
    return Environment.open(Settings.read({**os.environ, **variables}))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_the_drill_passes_and_says_what_users_saw(env, scenario):
    with env.drill(scenario) as running:
        for activity in scenario.activities:
            running.perform(activity)
        evidence = running.conclude()
    told = evidence.to_json()
    assert evidence.verdict is Verdict.PASSED, (evidence.summary, evidence.doubts, evidence.checks)
    rto = {m["subject"]: m["upper"] for m in told["measurements"] if m["name"] == "rto"}
    assert {"mongodb", "redis", "files"} <= rto.keys() and all(0 < upper < 3600 for upper in rto.values())
    assert {"fresh", "cached"} == told["probes"]["redis"]["clients"].keys() == told["probes"]["files"]["clients"].keys()
    lost = {found["store"]: found["lost"] for found in told["losses"]}
    if "as planned" in scenario.name:
        assert lost == {"mongodb": 0, "redis": 0, "files": 0}
    elif "witness" not in scenario.name:
        assert lost["mongodb"] == 0, "a majority has it, so one of two regions and the witness has it"
    assert all(check["control"] == "caught" for check in told["checks"])


def test_a_platform_without_names_is_refused_before_anything_is_touched(env):
    """The plan says so; nothing had been written."""
    from drplatform.model import drill, errors

    offered = frozenset({"store:mongodb", "store:redis", "store:files", "provision", "regions"})
    with pytest.raises(errors.PlanError, match="names, witness"):
        drill.plan(SCENARIOS[0], env.policy, 1, offered)


def _entries():
    return [Entry("redis", Mark("c", n, f"{n:064}"), float(n), n + 0.1, Outcome.ACKED) for n in range(1, 11)]


def test_a_write_lost_on_the_way_back_fails_however_small_the_loss_is_in_seconds():
    entries = _entries()
    seen = Outage(Interval(2, 2), Interval(4, 5), 3)
    whole = compare("redis", entries, [e.mark for e in entries])
    assert region_checks.kept("redis", entries, whole, seen).judged is Verdict.PASSED
    before = compare("redis", entries, [e.mark for e in entries if e.mark.number != 2])
    assert region_checks.kept("redis", entries, before, seen).judged is Verdict.PASSED
    after = compare("redis", entries, [e.mark for e in entries if e.mark.number != 7])
    found = region_checks.kept("redis", entries, after, seen)
    assert found.judged is Verdict.FAILED and "c/7" in found.finding


def test_what_was_not_read_from_the_lost_region_fails():
    entries = _entries()
    found = compare("redis", entries, [e.mark for e in entries if e.mark.number != 2])

    @dataclasses.dataclass
    class Kit:
        keys: object = None

    told = region_checks.saved(Kit(), "redis", found, [], None)
    assert told.judged is Verdict.FAILED and "were not read" in told.finding
