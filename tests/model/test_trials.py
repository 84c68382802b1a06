"""The rank test against brute force, its errors at both ends, and the projection against lines that are known."""

import itertools
import math
import random
import statistics

import pytest

from drplatform.model import projection, trials


def brute(old, new):
    """P(U >= u) over every assignment of ranks."""
    u = sum(n > o for n in new for o in old)
    ranks = range(len(old) + len(new))
    every = [set(c) for c in itertools.combinations(ranks, len(new))]
    us = [sum(n > o for n in chosen for o in ranks if o not in chosen) for chosen in every]
    return sum(x >= u for x in us) / len(us)


@pytest.mark.parametrize("sizes", [(1, 1), (3, 2), (4, 4), (5, 3), (2, 6)])
def test_the_p_value_is_exact(sizes):
    generator = random.Random(sum(sizes))
    for _ in range(20):
        values = generator.sample(range(100), sum(sizes))
        old, new = values[: sizes[0]], values[sizes[0] :]
        assert trials.p_value(old, new) == pytest.approx(brute(old, new))


def test_noise_seldom_cries_wolf_and_a_slower_recovery_is_seen():
    generator = random.Random(20261123)

    def runs(count, factor=1.0):
        return [factor * generator.lognormvariate(0, 0.1) for _ in range(count)]

    alarms = sum(trials.compare(runs(15), runs(5)).regressed for _ in range(400))
    assert alarms <= 400 * trials.ALPHA * 2.5
    seen = sum(trials.compare(runs(15), runs(5, 1.5)).regressed for _ in range(100))
    assert seen >= 95


def test_what_could_have_been_seen_is_stated():
    found = trials.compare([10, 11, 12, 10.5, 11.5, 10.2, 11.1, 10.9], [10.6, 11.2, 10.8, 11.4])
    assert not found.regressed and 1.05 < found.detectable < 1.5
    slower = [v * (found.detectable + 0.3) for v in (10.6, 11.2, 10.8, 11.4)]
    assert trials.compare([10, 11, 12, 10.5, 11.5, 10.2, 11.1, 10.9], slower).regressed
    few = trials.compare([10, 11], [30, 40])
    assert not few.regressed and few.detectable is None and "too few runs" in str(few)


def test_less_throughput_is_worse_and_more_is_not():
    slow = trials.compare([100.0] * 3 + [101, 102, 99, 98, 103], [50.0, 51, 49, 48], more_is_better=True)
    assert slow.regressed and slow.factor == pytest.approx(2.0, rel=0.05)
    assert not trials.compare([50.0, 51, 49, 48, 47, 52, 53, 46], [100.0, 101, 99, 98], more_is_better=True).regressed


def test_a_change_that_is_sure_but_small_is_of_no_interest():
    found = trials.compare([10 + n / 1000 for n in range(10)], [10.2 + n / 1000 for n in range(5)])
    assert found.p < trials.ALPHA and not found.regressed


def test_no_loss_at_all_is_no_regression_but_the_first_losses_are():
    assert not trials.compare([0.0] * 8, [0.0] * 5).regressed
    assert trials.compare([0.0] * 8, [0.5, 0.6, 0.7, 0.8, 0.9]).factor == math.inf


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 40])
def test_values_are_split_in_their_order(count):
    values = list(range(count))
    before, newest = trials.split(values)
    assert (before + newest) == values[-len(before + newest) :] if newest else not values
    assert len(newest) <= trials.NEWEST and len(before) <= trials.BEFORE and (count < 2 or before)


# -- projection -------------------------------------------------------------------------------------------------------------------


def test_a_known_line_is_found_with_an_interval_that_holds_what_comes():
    generator = random.Random(7)

    def measure(size):
        return 5 + size / 1e6 + generator.gauss(0, 0.5)

    held = 0
    for _ in range(300):
        found = projection.project([(s, measure(s)) for s in (1e6, 2e6, 5e6, 1e7, 2e7, 4e7)], 1e8)
        held += found.lower <= measure(1e8) <= found.upper
    assert 0.85 * 300 <= held <= 0.96 * 300, held
    assert found.estimate == pytest.approx(105, abs=5) and found.reach == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("measured", "why"),
    [
        ([(1e6, 5.0)] * 3, "too few"),
        ([(1e6, 5.0), (1.1e6, 5.1), (1.2e6, 5.2), (1e6, 5.0)], "too alike"),
        ([(1e6, 9.0), (1e7, 8.0), (2e7, 7.0), (4e7, 6.0)], "does not grow"),
        ([], "too few"),
    ],
)
def test_what_cannot_be_said_is_not_said(measured, why):
    assert why in projection.project(measured, 1e9)


@pytest.mark.parametrize(("freedom", "expected"), [(1, 6.3138), (2, 2.9200), (3, 2.3534), (5, 2.0150), (10, 1.8125), (30, 1.6973)])
def test_students_t(freedom, expected):
    """The 95 % quantiles of any table."""
    assert projection.quantile(0.95, freedom) == pytest.approx(expected, rel=0.003)
    assert projection.quantile(0.95, freedom) > statistics.NormalDist().inv_cdf(0.95)
