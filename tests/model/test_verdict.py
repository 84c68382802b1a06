"""PASSED < INCONCLUSIVE < FAILED: what is not known is never a pass."""

import pytest

from drplatform.model.clock import Interval
from drplatform.model.verdict import Check, Measurement, Verdict, check, judge

PASSED, INCONCLUSIVE, FAILED = Verdict.PASSED, Verdict.INCONCLUSIVE, Verdict.FAILED


def measured(lower, upper, target=10.0):
    return Measurement("rto", "mongodb", target, Interval(lower, upper))


@pytest.mark.parametrize(
    ("measurement", "verdict"),
    [
        (measured(1, 9.9), PASSED),
        (measured(1, 10), INCONCLUSIVE),
        (measured(9, 11), INCONCLUSIVE),
        (measured(10, 11), FAILED),
        (measured(12, 13), FAILED),
        (measured(0, 0), PASSED),
        (Measurement("rto", "mongodb", 10.0, None, "not seen"), INCONCLUSIVE),
    ],
)
def test_only_an_upper_bound_below_the_target_passes(measurement, verdict):
    assert measurement.verdict is verdict


@pytest.mark.parametrize(
    ("found", "control", "verdict"),
    [(PASSED, True, PASSED), (PASSED, False, INCONCLUSIVE), (PASSED, None, INCONCLUSIVE), (FAILED, False, FAILED), (FAILED, True, FAILED)],
)
def test_a_checker_that_has_not_proved_itself_does_not_pass(found, control, verdict):
    assert Check("c", found, "finding", control).judged is verdict


def test_check_runs_on_the_subject_and_on_its_planted_defect():
    def odd(numbers):
        return [f"{n} is odd" for n in numbers if n % 2]

    assert check("even", odd, [2, 4], [3], "all even").judged is PASSED
    assert check("even", odd, [2, 5], [3], "all even") == Check("even", FAILED, "5 is odd", True)
    assert check("even", odd, [2, 4], [6], "all even").judged is INCONCLUSIVE


def test_nothing_measured_and_nothing_checked_is_inconclusive():
    assert judge([], []) is INCONCLUSIVE


def test_the_worst_part_rules():
    good, bad = Check("a", PASSED, "", True), Check("b", FAILED, "", True)
    assert judge([measured(1, 2)], [good]) is PASSED
    assert judge([measured(1, 2)], [good, bad]) is FAILED
    assert judge([measured(9, 11)], [good]) is INCONCLUSIVE
    assert judge([measured(9, 11)], [bad]) is FAILED


def test_a_doubt_keeps_from_passing_but_does_not_hide_a_failure():
    good, bad = Check("a", PASSED, "", True), Check("b", FAILED, "", True)
    assert judge([measured(1, 2)], [good], ["a fault was not healed"]) is INCONCLUSIVE
    assert judge([], [bad], ["doubt"]) is FAILED


def test_exit_codes():
    assert [v.exit_code for v in (PASSED, FAILED, INCONCLUSIVE)] == [0, 1, 2]
