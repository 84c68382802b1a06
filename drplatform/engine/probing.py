"""Uses a store as its users do, many times a second, and keeps what was seen. The recovery time comes from here and from nowhere else."""

import heapq
import math
import threading
from collections.abc import Sequence

from drplatform.engine.workload import User
from drplatform.model import errors, outage, ports
from drplatform.model.clock import Clock
from drplatform.model.ledger import Mark
from drplatform.model.outage import Sample

MOST_LANES = 16
KEPT = 100_000
"""So many samples are kept singly (half an hour at 50 a second); of older ones, the ends of each run of equal ones."""
EDGE = 100
NOTE_LENGTH = 200
SELDOM = 10
"""One in so many is hardly any."""


class Probing:
    """Probes one store from several lanes, each a user with connections of its own.

    Every `period` seconds one lane begins a probe, also while those of other lanes still hang; a probe takes at the most `timeout` seconds.
    There are lanes enough for that, up to MOST_LANES, and the first free one is used: the others have work only while probes hang.
    """

    def __init__(
        self,
        store: User,
        anchor: Mark,
        payload: bytes,
        clock: Clock,
        *,
        period: float = 0.02,
        timeout: float = 0.25,
        lanes: int | None = None,
        kept: int = KEPT,
    ) -> None:
        self.period, self.timeout, self._kept = period, timeout, kept
        self._store, self._anchor, self._payload, self._clock = store, anchor, payload, clock
        self._samples: list[Sample] = []
        self._lock = threading.Lock()
        self._next, self._number = 0.0, 0
        self._stop = threading.Event()
        self._error: BaseException | None = None
        count = lanes or min(MOST_LANES, math.ceil(timeout / period) + 1)
        self._taken, self._free = False, list[int]()
        self._calls = [threading.Event() for _ in range(count)]
        self._threads = [threading.Thread(target=self._lane, args=(i,), name=f"probe-{store.name}-{i}", daemon=True) for i in range(count)]

    def start(self) -> None:
        self._next = self._clock.monotonic()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the probing. Raises Inconclusive when a lane died: what it would have seen is unknown."""
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(self.timeout * 4 + 5)
        if self._error:
            raise errors.Inconclusive(f"A prober of {self._store.name} died: {type(self._error).__name__}: {self._error}") from self._error

    def slow_down(self, times: float) -> None:
        """From now on probes begin so many times less often, and may take so many times longer."""
        self.period, self.timeout = self.period * times, self.timeout * times

    def at_ease(self, after: float) -> bool:
        """Whether what was seen since `after` (monotonic seconds) leaves time to spare: no probe failed, and hardly any took half its time-out."""
        recent = self._since(after)
        slow = sum(s.end - s.start > self.timeout / 2 for s in recent)
        return all(s.ok for s in recent) and slow * SELDOM <= len(recent)

    def samples(self) -> Sequence[Sample]:
        """The samples so far, in the order in which they ended; old ones condensed."""
        with self._lock:
            return tuple(self._samples)

    def sustained(self, after: float, seconds: float) -> bool:
        """Whether, since `after` (monotonic seconds), the store served its users for `seconds` without a failure until now."""
        return outage.sustained(self._since(after), after, seconds)

    def _since(self, after: float) -> list[Sample]:
        with self._lock:
            recent = []
            for sample in reversed(self._samples):
                if sample.end < after:
                    break
                recent.append(sample)
        return recent[::-1]

    def _lane(self, lane: int) -> None:
        try:
            prober = self._store.prober(self._anchor, self._payload)
            used = self._clock.monotonic()
            try:
                while (number := self._turn(lane)) is not None:
                    if self._clock.monotonic() - used > self.timeout:
                        prober.close()  # of a connection that lay idle nobody knows whether it broke long ago
                    self._keep(self._probe(prober, number))
                    used = self._clock.monotonic()
            finally:
                prober.close()
        except Exception as error:  # noqa: BLE001  the body of a thread: kept, and raised by stop()
            self._error = error

    def _turn(self, lane: int) -> int | None:
        """Wait for the moment at which the next probe begins, if that is this lane's; None at the end. One lane at a time waits for it."""
        with self._lock:
            free, self._taken = self._taken, True
            if free:
                self._calls[lane].clear()
                heapq.heappush(self._free, lane)
        if free:
            self._calls[lane].wait()
        now = self._clock.monotonic()
        begin = max(self._next, now - self.period)
        self._next = begin + self.period
        self._number = number = self._number + 1
        ended = self._clock.wait(self._stop, max(0.0, begin - now))
        self._pass_on()
        return None if ended else number

    def _pass_on(self) -> None:
        with self._lock:
            if self._free:
                self._calls[heapq.heappop(self._free)].set()
            else:
                self._taken = False

    def _probe(self, prober: ports.Prober, number: int) -> Sample:
        start = self._clock.monotonic()
        try:
            prober.attempt(number, self.timeout)
        except errors.StoreError as error:
            return Sample(start, self._clock.monotonic(), False, str(error)[:NOTE_LENGTH])
        return Sample(start, self._clock.monotonic(), True)

    def _keep(self, sample: Sample) -> None:
        with self._lock:
            self._samples.append(sample)
            if len(self._samples) > self._kept:
                self._samples = outage.condensed(self._samples, self._kept // 2, min(EDGE, self._kept // 16))
                if len(self._samples) > self._kept * 3 // 4:
                    raise errors.Inconclusive(f"{self._store.name} came and went too often for all of it to be kept.")
