"""The half-yearly drills on real servers, and what they would say of a region that lost what it should not have."""

import dataclasses
import os
from pathlib import Path

import pytest

from drplatform import environment
from drplatform.engine import region_checks
from drplatform.engine.divergence import Divergence
from drplatform.engine.naming import Pointed, Use
from drplatform.environment import Environment, Settings
from drplatform.model.clock import Interval
from drplatform.model.ledger import Entry, Mark, Outcome
from drplatform.model.loss import compare
from drplatform.model.outage import Outage
from drplatform.model.ports import Address
from drplatform.model.verdict import Verdict

FEATURE = Path(__file__).parents[2] / "features/biannual/region_failover.feature"
SCENARIOS = environment.read_feature(FEATURE)


@pytest.fixture
def env(tmp_path):
    variables = {"DRPLATFORM_STATE": str(tmp_path / "state"), "DRPLATFORM_SCRATCH": str(tmp_path / "scratch")}
    (tmp_path / "scratch").mkdir()
    return Environment.open(Settings.read({**os.environ, **variables}))


def _in_order():
    """That both sides of a partition are written to takes a proxy before each server, and the machine for itself."""
    return [pytest.param(s, id=s.name, marks=[pytest.mark.soak] if "parted" in s.name else []) for s in SCENARIOS]


@pytest.mark.parametrize("scenario", _in_order())
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
    if "parted" in scenario.name:
        assert all(found["examples"]["lost"] for found in told["losses"]), "what the side that was cut off acknowledged is gone, and named"
        (mongodb,) = (found for found in told["losses"] if found["store"] == "mongodb")
        assert all(mark.startswith("staying/") for mark in mongodb["examples"]["lost"]), "a majority has what the others had acknowledged"
    elif "as planned" in scenario.name:
        assert lost == {"mongodb": 0, "redis": 0, "files": 0}
    elif "witness" not in scenario.name:
        assert lost["mongodb"] == 0, "a majority has it, so one of two regions and the witness has it"
    assert all(check["control"] == "caught" for check in told["checks"])


def test_a_platform_without_names_is_refused_before_anything_is_touched(env):
    """The plan says so; nothing had been written."""
    from drplatform.model import drill, errors

    offered = frozenset({"store:mongodb", "store:redis", "store:files", "provision", "regions"})
    with pytest.raises(errors.PlanError, match=r"needs names .*, witness"):
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


CUT = Interval(3.0, 3.5)


def _stayed(*late):
    """Clients of both sides; the cut-off one is fenced at 6: its writes 4 and 5 are acknowledged there, and `late` ones."""
    there = [Entry("redis", Mark("staying", n, f"{n:064}"), float(n), n + 0.1, Outcome.ACKED) for n in (1, 2, 4, 5, *late)]
    return [*_entries(), *there]


def test_a_write_that_is_acknowledged_behind_the_fence_fails():
    assert region_checks.fenced("redis", _stayed(), CUT, 6.0, 9.0).judged is Verdict.PASSED
    found = region_checks.fenced("redis", _stayed(8), CUT, 6.0, 9.0)
    assert found.judged is Verdict.FAILED and "first 8" in found.finding


def test_what_was_written_before_the_cut_was_confirmed_counts_when_only_the_side_that_was_cut_off_has_it():
    slowly_confirmed = Interval(3.0, 5.8)
    on_its_disks = [e.mark for e in _stayed() if e.mark.client == "staying" and e.mark.number > 1]
    assert region_checks.fenced("redis", _stayed(), slowly_confirmed, 6.0, 9.0, on_its_disks).judged is Verdict.PASSED
    assert region_checks.fenced("redis", _stayed(), slowly_confirmed, 6.0, 9.0).judged is Verdict.INCONCLUSIVE
    before = [mark for mark in on_its_disks if mark.number < 3]
    assert region_checks.fenced("redis", _stayed(), slowly_confirmed, 6.0, 9.0, before).judged is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("entries", "fence", "turned_away"),
    [
        (_stayed(), None, 9.0),
        (_stayed(), 6.0, None),
        (_stayed(), 6.0, 5.0),
        (_entries(), 6.0, 9.0),
        ([e for e in _stayed() if e.mark.client == "staying"], 6.0, 9.0),
    ],
    ids=["nothing fenced", "nobody tried", "nobody tried after the fence", "nobody stayed", "nobody went elsewhere"],
)
def test_a_fence_that_nobody_tried_proves_nothing(entries, fence, turned_away):
    assert region_checks.fenced("redis", entries, CUT, fence, turned_away).judged is Verdict.INCONCLUSIVE


def test_what_is_lost_on_failback_is_counted_apart_and_must_be_what_the_lost_region_alone_had():
    entries = _stayed()
    mine = [e.mark for e in entries if e.mark.client == "staying" and e.mark.number > 1]
    found = compare("redis", entries, [e.mark for e in entries if e.mark not in mine])
    assert [e.mark.number for e in region_checks.lost_on_failback(entries, found, CUT)] == [4, 5]
    exact = region_checks.failback(entries, found, CUT, [Divergence("redis", "primary", tuple(mine), ())])
    assert exact.judged is Verdict.PASSED and "lost on failback: 2 writes" in exact.finding and "1 of before it" in exact.finding
    for marks, word in ((mine[1:], "not on its disks either"), ([*mine, Mark("x", 1, "0")], "not known to the ledger")):
        told = region_checks.failback(entries, found, CUT, [Divergence("redis", "primary", tuple(marks), ())])
        assert told.judged is Verdict.FAILED and word in told.finding
    assert region_checks.failback(entries, found, CUT, []).judged is Verdict.FAILED


HERE, THERE = (Address("127.0.0.1", 1),), (Address("127.0.0.2", 2),)
MOVED = Pointed("redis", "secondary", THERE, 10.0, 10.1)


def _followed(*uses, until=float("inf")):
    return region_checks.followed(MOVED, [Use(*use) for use in uses], ttl=2.0, between=0.5, until=until)


def test_those_who_remembered_an_address_must_leave_it_when_its_time_is_over():
    found = _followed((HERE, 1.0, 11.9), (THERE, 12.0, 30.0))
    assert found.judged is Verdict.PASSED and "they went there 2.00 s after" in found.finding
    lagging = _followed((HERE, 1.0, 11.0), (THERE, 11.1, 11.1), (HERE, 11.2, 12.3), (THERE, 12.4, 30.0))
    assert lagging.judged is Verdict.FAILED and "used 2.20 s after" in lagging.finding
    moved_back = [(HERE, 1.0, 11.9), (THERE, 12.0, 30.0), (HERE, 30.1, 40.0)]
    assert _followed(*moved_back, until=29.0).judged is Verdict.PASSED
    assert _followed(*moved_back).judged is Verdict.FAILED, "planted: nobody had changed the name again"


@pytest.mark.parametrize(
    "uses",
    [[], [(THERE, 12.0, 30.0)], [(HERE, 1.0, 11.9)], [(HERE, 1.0, 11.9), (THERE, 14.7, 30.0)]],
    ids=["nobody asked", "nobody remembered", "nobody asked again", "asked again too late to tell"],
)
def test_names_that_nobody_was_seen_to_follow_prove_nothing(uses):
    assert _followed(*uses).judged is Verdict.INCONCLUSIVE


def test_what_was_not_read_from_the_lost_region_fails():
    entries = _entries()
    found = compare("redis", entries, [e.mark for e in entries if e.mark.number != 2])

    @dataclasses.dataclass
    class Kit:
        keys: object = None

    told = region_checks.saved(Kit(), "redis", found, [], None)
    assert told.judged is Verdict.FAILED and "were not read" in told.finding
