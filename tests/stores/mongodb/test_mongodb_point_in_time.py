"""The point-in-time oracle: what is restored to a position is what the source held there, byte for byte."""

import os
import random

import mongodb_cases as cases
import pytest

from drplatform.stores.mongodb import scan

STEPS_BEFORE, STEPS_AFTER = 60, 140


def _history(source, generator, monkeypatch):
    """A random history with a dump amid it: the dump, the log, and what the source held after each step since the dump's end."""
    cases.in_small_batches(monkeypatch)
    monkeypatch.setattr(scan, "PART_BYTES", 800)
    work = cases.Workload(source.endpoint, generator)
    work.prepare()
    for _ in range(STEPS_BEFORE):
        work.step()
    with cases.captured(source, source.position()) as batches:
        parts, end = cases.take(source, lambda: [work.step() for _ in range(generator.randrange(3))])
        moments = [(end.end, "the dump's end", cases.everything(source.endpoint))]
        for _ in range(STEPS_AFTER):
            name = work.step()
            moments.append((source.position(), name, cases.everything(source.endpoint)))
    work.close()
    return parts, end, [batch.block for batch in batches], moments


def _seed() -> int:
    """A new one each time; DRPLATFORM_TEST_SEED repeats a failure."""
    return int(os.environ.get("DRPLATFORM_TEST_SEED") or random.SystemRandom().randrange(2**32))


def _check(pair, seed, positions, monkeypatch):
    print(f"seed {seed}")
    generator = random.Random(seed)
    source, target = pair
    parts, end, blocks, moments = _history(source, generator, monkeypatch)
    chosen = [moments[0], moments[-1], *generator.sample(moments[1:-1], positions - 2)]
    for position, step, expected in chosen:
        cases.empty(target.endpoint)
        reached = cases.restore(target, parts, blocks, position)
        differing = cases.differences(expected, cases.everything(target.endpoint))
        assert not differing, f"seed {seed}, after {step} at {position}: {differing}"
        assert reached.reached == position
        assert not reached.refused
        if position == end.end:
            cases.require_found(end, reached)


def test_a_restore_to_any_of_20_positions_is_what_the_source_held(pair, monkeypatch):
    _check(pair, _seed(), 20, monkeypatch)


@pytest.mark.soak
@pytest.mark.parametrize("round_", range(10))
def test_a_restore_to_any_of_200_positions_is_what_the_source_held(pair, monkeypatch, round_):
    _check(pair, _seed() + round_, 20, monkeypatch)
