"""What the probers see: gaps as they are, lanes that do not wait for each other, bounded memory, and a death that is told."""

import threading

import pytest

from drplatform.engine.probing import Probing
from drplatform.model import clock as clocks
from drplatform.model import errors, outage
from drplatform.model.clock import Interval
from drplatform.model.ledger import Mark, digest
from drplatform.model.memory import MemoryServer
from drplatform.stores.memory import MemoryStore

PAYLOAD = b"payload"
ANCHOR = Mark("anchor", 1, digest(PAYLOAD))


@pytest.fixture
def server():
    return MemoryServer()


@pytest.fixture
def store(server, clock):
    made = MemoryStore(lambda: server, clock)
    made.marker("anchor").write(ANCHOR, PAYLOAD)
    return made


@pytest.fixture
def probing(store, clock):
    made = Probing(store, ANCHOR, PAYLOAD, clock, period=0.002)
    yield made
    made.stop()


def seen(probing, clock, ok, count=5):
    """Wait for so many further probes that all began from now on and ended so; the samples."""
    begin = clock.monotonic()
    return clocks.wait_for(
        clock,
        f"{count} probes",
        lambda: [s for s in probing.samples() if s.start >= begin and s.ok is ok],
        within=20,
        until=lambda found: len(found) >= count,
    )


def test_an_outage_is_measured_within_its_true_bounds(server, store, probing, clock):
    probing.start()
    seen(probing, clock, True)
    before = clock.monotonic()
    server.alive = False
    effect = Interval(before, clock.monotonic())
    seen(probing, clock, False)
    back = clock.monotonic()
    server.alive = True
    returned = Interval(back, clock.monotonic())
    clocks.wait_for(clock, "lasting service", lambda: probing.sustained(back, 0.3), within=20)
    found = outage.outage(probing.samples(), effect, 0.2)
    assert found.began.lower <= effect.upper and found.began.upper >= effect.lower
    assert found.ended.lower <= returned.upper and found.ended.upper >= returned.lower
    assert found.ended.width < 0.5, "and the bounds are useful"


def test_wrong_data_is_no_service(server, store, probing, clock):
    probing.start()
    seen(probing, clock, True)
    with server.lock:
        server.data["marks"]["anchor/1"] = "changed"
    assert {s.note for s in seen(probing, clock, False)} == {"the old write was changed"}
    with server.lock:
        server.data["marks"].clear()
    clocks.wait_for(clock, "the loss to be seen", lambda: probing.samples()[-1].note == "the old write is gone", within=20)
    assert not probing.sustained(0, 0)


class Hanging:
    """A store whose probes hang until they are let go; the first lane's only, or all."""

    name = "hanging"

    def __init__(self, lanes):
        self.lanes, self.opened, self.free = lanes, 0, threading.Event()

    def prober(self, anchor, payload):
        self.opened += 1
        return self if self.opened <= self.lanes else Prompt()

    def attempt(self, number, timeout):
        if not self.free.wait(20):
            raise errors.StoreError("hung")

    def close(self): ...


class Prompt:
    def attempt(self, number, timeout): ...

    def close(self): ...


def test_a_probe_that_hangs_does_not_hold_up_the_others(clock):
    store = Hanging(lanes=1)
    probing = Probing(store, ANCHOR, PAYLOAD, clock, period=0.002, lanes=2)
    probing.start()
    assert len(seen(probing, clock, True, 20)) >= 20
    store.free.set()
    probing.stop()
    longest = max(probing.samples(), key=lambda s: s.end - s.start)
    assert sum(s.end - s.start >= (longest.end - longest.start) / 2 for s in probing.samples()) == 1


class Counted:
    """A store whose probes hang until they are let go; how many connections have had work, and how many were given up for having lain idle."""

    name = "counted"

    def __init__(self):
        self.free, self.lock, self.within, self.used, self.closed = threading.Event(), threading.Lock(), 0, set(), 0

    def prober(self, anchor, payload):
        return CountedProber(self)


class CountedProber:
    def __init__(self, store):
        self.store = store

    def attempt(self, number, timeout):
        with self.store.lock:
            self.store.used.add(self)
            self.store.within += 1
        self.store.free.wait(20)
        with self.store.lock:
            self.store.within -= 1

    def close(self):
        with self.store.lock:
            self.store.closed += 1


def test_while_probes_hang_others_begin_until_the_first_could_have_timed_out(clock):
    store = Counted()
    probing = Probing(store, ANCHOR, PAYLOAD, clock, period=0.02, timeout=0.2)
    probing.start()
    clocks.wait_for(clock, "as many probes as there are periods in the time-out, and one", lambda: store.within == 11, within=20)
    store.free.set()
    probing.stop()


def test_lanes_that_are_not_needed_lie_idle_and_connect_anew_when_they_are(clock):
    store = Counted()
    store.free.set()
    probing = Probing(store, ANCHOR, PAYLOAD, clock, period=0.01, timeout=0.1)
    probing.start()
    clocks.wait_for(clock, "many probes", lambda: len(probing.samples()) >= 50, within=20)
    few = len(store.used)
    store.free.clear()
    clocks.wait_for(clock, "all lanes at work", lambda: store.within == 11, within=20)
    assert few < len(store.used) == 11, "planted: those that lay idle are needed now"
    assert store.closed >= 11 - few, "and do not trust what they had"
    store.free.set()
    probing.stop()


def test_probes_begin_one_period_apart_and_none_is_made_up_for(clock):
    probing = Probing(Hanging(lanes=0), ANCHOR, PAYLOAD, clock, period=0.01)
    probing.start()
    samples = seen(probing, clock, True, 30)
    probing.stop()
    starts = sorted(s.start for s in samples)
    assert starts[-1] - starts[0] >= 0.01 * (len(starts) - 3), "never faster than told"


class Broken:
    name = "broken"

    def prober(self, anchor, payload):
        return self

    def attempt(self, number, timeout):
        raise ZeroDivisionError("planted")

    def close(self): ...


def test_a_prober_that_dies_makes_the_run_inconclusive(clock):
    probing = Probing(Broken(), ANCHOR, PAYLOAD, clock)
    probing.start()
    with pytest.raises(errors.Inconclusive, match=r"broken died: ZeroDivisionError: planted"):
        clocks.wait_for(clock, "the death", probing.stop, within=20)


def test_stopping_ends_the_threads_and_may_come_before_starting(store, clock):
    Probing(store, ANCHOR, PAYLOAD, clock).stop()
    probing = Probing(store, ANCHOR, PAYLOAD, clock)
    probing.start()
    probing.stop()
    assert not [t.name for t in threading.enumerate() if t.name.startswith(f"probe-{store.name}-")]


def test_memory_is_bounded_and_nothing_is_forgotten(store, clock):
    probing = Probing(store, ANCHOR, PAYLOAD, clock, period=0.0002, kept=80)
    probing.start()
    clocks.wait_for(
        clock, "many probes", lambda: sum(s.count for s in probing.samples()), within=30, until=lambda probes: probes > 1000, every=0.01
    )
    probing.stop()
    samples = probing.samples()
    assert len(samples) <= 81
    assert max(s.count for s in samples) > 100, "planted: something was condensed"


class Flapping:
    name = "flapping"

    def prober(self, anchor, payload):
        return self

    def attempt(self, number, timeout):
        if number % 2:
            raise errors.StoreError("flap")

    def close(self): ...


def test_what_comes_and_goes_for_ever_is_not_kept_for_ever(clock):
    probing = Probing(Flapping(), ANCHOR, PAYLOAD, clock, period=0.0002, kept=80, lanes=1)
    probing.start()
    clocks.wait_for(
        clock, "too many", lambda: len(probing.samples()) > 80 or not any("flapping" in t.name for t in threading.enumerate()), within=20
    )
    with pytest.raises(errors.Inconclusive, match="came and went too often"):
        probing.stop()


class Given:
    """A store whose probes tell how much time they are given."""

    name = "given"

    def __init__(self):
        self.times = []

    def prober(self, anchor, payload):
        return self

    def attempt(self, number, timeout):
        self.times.append(timeout)

    def close(self): ...


def test_probes_that_slow_down_begin_less_often_and_are_given_more_time(clock):
    store = Given()
    probing = Probing(store, ANCHOR, PAYLOAD, clock, period=0.002, timeout=0.1)
    probing.start()
    seen(probing, clock, True, 3)
    probing.slow_down(4)
    clocks.wait_for(clock, "a probe with more time", lambda: store.times[-1] == 0.4, within=20)
    probing.stop()
    assert probing.period == 0.008


@pytest.mark.parametrize(
    ("durations", "failed", "expected"),
    [([0.01] * 20, False, True), ([0.01] * 19 + [0.2], False, True), ([0.01] * 17 + [0.2] * 3, False, False), ([0.01] * 20, True, False)],
)
def test_answers_come_with_ease_when_none_fails_and_hardly_any_takes_half_its_time(clock, durations, failed, expected):
    probing = Probing(Given(), ANCHOR, PAYLOAD, clock, timeout=0.25)
    ends = [100 + i for i in range(len(durations))]
    earlier = outage.Sample(0.0, 50.0, False)
    probing._samples = [earlier, *(outage.Sample(end - took, end, True) for end, took in zip(ends, durations, strict=True))]
    if failed:
        probing._samples.append(outage.Sample(200, 200, False))
    assert probing.at_ease(60.0) is expected
