"""A bounded rate of reading: all threads together keep it, and an end does not wait for it."""

import threading

from drplatform.engine.backups.pace import Pace
from drplatform.model.clock import FakeClock


def test_blocks_come_no_faster_than_the_rate():
    clock = FakeClock()
    pace = Pace(clock, 1000, threading.Event())
    first, second = (pace.keep([b"x" * 500] * 4) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert len(one) == len(other) == 500
    assert clock.elapsed >= (8 - 2) * 0.5, "the last of each is not waited for when it is handed out"


def test_an_end_does_not_wait():
    stopped = threading.Event()
    stopped.set()
    clock = FakeClock()
    assert len(list(Pace(clock, 1, stopped).keep([b"x" * 10**6] * 3))) == 3
    assert clock.elapsed == 0
