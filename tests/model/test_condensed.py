"""Samples in less room measure the same: the simulated outages once with all samples, once condensed on the way."""

import random

from test_outage import EFFECT, SUSTAIN, at, simulate, steady

from drplatform.model.outage import Sample, condensed, outage


def streamed(samples, kept, edge):
    """As a prober keeps them: condensed whenever there are too many."""
    held = []
    for sample in samples:
        held.append(sample)
        if len(held) > kept:
            held = condensed(held, kept // 2, edge)
    return held


def test_the_recovery_time_is_the_same_to_the_digit():
    first = random.randrange(2**32)
    print(f"first seed {first}")
    shorter = 0
    for seed in range(first, first + 300):
        samples, _, effect = simulate(seed)
        ordered = sorted(samples, key=lambda s: s.end)
        longest = max(s.end - s.start for s in ordered)
        at_once = max(sum(1 for s in ordered if other.end >= s.start >= other.end - longest) for other in ordered)
        held = streamed(ordered, max(60, 4 * at_once), max(8, at_once))  # the edge that `condensed` asks for
        assert sum(s.count for s in held) == len(ordered), "every probe is counted"
        shorter += len(held) < len(ordered)
        whole, less = outage(ordered, effect, SUSTAIN), outage(held, effect, SUSTAIN)
        assert (whole is None) == (less is None), seed
        if whole:
            assert less.ended == whole.ended, seed
            assert less.since(effect) == whole.since(effect), seed
            assert less.began.lower <= whole.began.lower and less.began.upper >= whole.began.upper, seed
    assert shorter > 100, "planted: there was something to condense"


def test_a_long_run_becomes_its_ends_and_one():
    held = condensed(steady(0, 1000), 10, 4)
    assert len(held) == 4 + 1 + 4 + 10
    assert held[4].count == 10_000 - 18
    assert held[4].start < held[5].start and held[4].end < held[5].end


def test_a_day_takes_no_more_room_than_an_hour():
    hour = streamed([*steady(0, 0.9), *steady(1, 2, ok=False), *steady(2, 1_000)], 400, 8)
    day = streamed([*steady(0, 0.9), *steady(1, 2, ok=False), *steady(2, 20_000)], 400, 8)
    assert len(day) <= 400 and len(hour) <= 400
    assert outage(day, EFFECT, SUSTAIN) == outage(hour, EFFECT, SUSTAIN)
    assert outage(day, EFFECT, SUSTAIN).failures == 10


def test_what_differs_is_not_merged():
    flapping = [at(n * 0.1, n % 2 == 0) for n in range(1000)]
    assert condensed(flapping, 10, 4) == flapping
    assert condensed([], 10, 4) == []
    assert condensed([Sample(0, 1, True)], 0, 4) == [Sample(0, 1, True)]
