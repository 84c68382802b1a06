"""The judgement `consistent` on the memory platform: a region that comes back as of one moment passes, a planted dangling reference fails."""

from drplatform.engine import consistency_checks
from drplatform.model import drill, ports
from drplatform.model.clock import Interval
from drplatform.model.ledger import Entry, Mark, Outcome
from drplatform.model.verdict import Verdict

ENTRIES = [
    Entry(store, Mark("c", n, "d"), float(n), n + 0.01, Outcome.ACKED) for store in ("mongodb", "redis", "files") for n in range(1, 20)
]
EFFECT = ports.FaultEffect("f", frozenset(), Interval(50.0, 51.0), ports.Receipt(("x",), ""))


def judged(memory_kit, marks):
    scenario = drill.Scenario("F", "S", (), (drill.Expect("consistent"),))
    return consistency_checks.parts(drill.Plan(scenario, memory_kit.policy, 1), ENTRIES, marks, [EFFECT])["consistent"]


def all_but(store, numbers):
    return {
        s: [e.mark for e in ENTRIES if e.store == s and not (s == store and e.mark.number in numbers)]
        for s in ("mongodb", "redis", "files")
    }


def test_a_cut_passes_with_its_planted_defects_caught(memory_kit):
    check, skew = judged(memory_kit, all_but("redis", range(15, 20)))
    assert (check.judged, check.control) == (Verdict.PASSED, True)
    assert skew.actual.upper > 3 and skew.verdict is Verdict.PASSED


def test_one_lost_object_that_documents_may_name_fails(memory_kit):
    check, _ = judged(memory_kit, all_but("files", (7,)))
    assert check.judged is Verdict.FAILED and "mongodb may refer to what files has lost" in check.finding


def test_where_no_defect_can_be_planted_nothing_is_proven(memory_kit):
    check, _ = judged(memory_kit, {s: [] for s in ("mongodb", "redis", "files")})
    assert check.control is False and check.judged is not Verdict.PASSED
    check, skew = judged(memory_kit, {"files": []})
    assert check.judged is Verdict.INCONCLUSIVE and skew.verdict is Verdict.INCONCLUSIVE


def test_drills_that_do_not_ask_are_not_judged(memory_kit):
    plan = drill.Plan(drill.Scenario("F", "S", (), (drill.Expect("rto"),)), memory_kit.policy, 1)
    assert consistency_checks.parts(plan, ENTRIES, all_but("redis", ()), [EFFECT]) == {}
