"""The measured recovery time contains the true one, whatever the probes' period, time-out, lanes and luck.

A discrete-event simulation on the fake clock: a service is down from D to R, with random latencies, failures that are refused at once or
hang, and flapping before it is lastingly back.
"""

import random
from dataclasses import dataclass

import pytest

from drplatform.model.clock import FakeClock, Interval
from drplatform.model.outage import Outage, Sample, outage, sustained

RUNS = 1000
SUSTAIN = 0.5


@dataclass(frozen=True)
class World:
    """The truth: down in each of `gaps` (begin, end); lastingly back at the end of the last."""

    gaps: tuple[tuple[float, float], ...]
    hangs: bool
    latency: float

    def gap_at(self, at):
        return next((gap for gap in self.gaps if gap[0] <= at < gap[1]), None)

    @property
    def down_at(self):
        return self.gaps[0][0]

    @property
    def back_at(self):
        return self.gaps[-1][1]


def probe(world, generator, start, timeout):
    """One probe that begins at `start`: it works if the service is up when its request arrives and when it is answered.

    A failure's note is the end of the gap that it fell into: the truth that the estimator does not look at.
    """
    arrives = start + generator.random() * world.latency
    answered = arrives + generator.random() * world.latency
    noticed, gap = (arrives, world.gap_at(arrives)) if world.gap_at(arrives) else (answered, world.gap_at(answered))
    if gap is None:
        return Sample(start, answered, True)
    return Sample(start, start + timeout if world.hangs else noticed, False, repr(gap[1]))


def simulate(seed):
    """Random world, random probing: the samples, the world, and bounds of the fault's effect."""
    generator = random.Random(seed)
    clock = FakeClock()
    period, timeout = generator.uniform(0.005, 0.3), generator.uniform(0.05, 1.0)
    lanes = generator.choice((1, 1, 2, 4, 14))
    down = generator.uniform(1, 3)
    gaps, at = [], down
    for _ in range(generator.choice((1, 1, 1, 2, 3))):
        length = generator.uniform(0.02, 8)
        gaps.append((at, at + length))
        at += length + generator.uniform(0.01, SUSTAIN * 0.9)
    latency = min(timeout / 4, generator.uniform(0.0001, 0.05))
    world = World(tuple(gaps), generator.random() < 0.5, latency)
    free, samples, end = [0.0] * lanes, [], world.back_at + SUSTAIN + 4 * timeout + 8 * period + 1
    while clock.monotonic() < end:
        lane = min(range(lanes), key=free.__getitem__)
        clock.advance(max(0.0, free[lane] - clock.monotonic()))
        sample = probe(world, generator, clock.monotonic(), timeout)
        free[lane] = sample.end
        samples.append(sample)
        clock.advance(period)
    effect = Interval(down - generator.uniform(0, 0.2), down + generator.uniform(0, 0.2))
    generator.shuffle(samples)
    return samples, world, effect


def visible(samples):
    """Whether any probe noticed: a short outage may fall between two probes."""
    return any(not s.ok for s in samples)


def test_the_measured_interval_contains_the_true_outage_in_a_thousand_runs():
    first = random.randrange(2**32)
    print(f"first seed {first}")
    measured = 0
    for seed in range(first, first + RUNS):
        samples, world, effect = simulate(seed)
        found = outage(samples, effect, SUSTAIN)
        if found is None:
            assert not visible(samples), f"seed {seed}: an outage was seen and not measured"
            continue
        measured += 1
        assert_contains(found, world, effect, seed, samples)
    assert measured > 0.9 * RUNS


def assert_contains(found, world, effect, seed, samples):
    """The end that counts is that of the last gap which a probe fell into: who saw nothing of a gap had no outage."""
    true_end = max(float(s.note) for s in samples if not s.ok)
    interval = found.since(effect)
    assert interval.contains(true_end - world.down_at), f"seed {seed}: {interval} lacks {true_end - world.down_at}"
    assert found.ended.contains(true_end), f"seed {seed}: the end"


def test_the_simulation_catches_an_estimator_that_takes_the_end_of_the_last_failure():
    """The positive control: a plausible but wrong estimator must not get through."""
    wrong = 0
    for seed in range(RUNS // 4):
        samples, world, effect = simulate(seed)
        failures = [s for s in samples if not s.ok and s.end >= effect.lower]
        back = [s.end for s in samples if s.ok and s.start >= max((f.start for f in failures), default=0)]
        if failures and back and max(f.end for f in failures) <= min(back):
            wrong += not max(f.end for f in failures) <= world.back_at
    assert wrong > 10


def at(start, ok, length=0.01):
    return Sample(start, start + length, ok)


def steady(begin, end, ok=True, period=0.1):
    return [at(begin + i * period, ok) for i in range(int((end - begin) / period))]


EFFECT = Interval(1.0, 1.05)


def test_bounds_are_the_last_failure_and_the_first_success():
    samples = [*steady(0, 1), *steady(1, 2, ok=False), *steady(2, 4)]
    found = outage(samples, EFFECT, SUSTAIN)
    assert found.ended.lower == pytest.approx(1.9)
    assert found.ended.upper == pytest.approx(2.01)
    assert found.failures == 10


@pytest.mark.parametrize(
    "samples",
    [
        [],
        steady(0, 4),
        steady(0, 1) + steady(1, 4, ok=False),
        steady(0, 1) + steady(1, 2, ok=False) + steady(2, 2.3),
        steady(0, 0.9, ok=False) + steady(1, 4),
    ],
    ids=["nothing seen", "no failure", "never back", "not back for long enough", "failures before the fault only"],
)
def test_what_cannot_be_told_is_not_told(samples):
    assert outage(samples, EFFECT, SUSTAIN) is None


def test_a_success_between_failures_does_not_count_as_the_end():
    samples = [*steady(0, 1), *steady(1, 2, ok=False), *steady(2, 2.3), *steady(2.3, 3, ok=False), *steady(3, 5)]
    assert outage(samples, EFFECT, SUSTAIN).ended.contains(3.0)


def test_a_probe_that_hangs_over_the_return_does_not_hide_it():
    hanging = Sample(1.9, 2.9, False, "timed out")
    samples = [*steady(0, 1), *steady(1, 1.9, ok=False), hanging, *steady(2.0, 4)]
    assert outage(samples, EFFECT, SUSTAIN).ended == Interval(1.9, 2.01)


def test_since_subtracts_the_bounds_of_the_effect():
    found = Outage(Interval(1, 1), Interval(5, 6), 3)
    assert found.since(Interval(1, 2)) == Interval(3, 5)


def test_sustained_needs_success_without_failure_for_long_enough():
    assert sustained(steady(0, 2), 0, 1.0)
    assert not sustained(steady(0, 0.5), 0, 1.0)
    assert not sustained([*steady(0, 2), at(1.95, False)], 0, 1.0)
    assert not sustained([], 0, 0.0)
    assert not sustained(steady(0, 2), 3, 0.5)
