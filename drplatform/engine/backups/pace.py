"""Reading at a bounded rate, so that a backup leaves the source to its users."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from drplatform.model.clock import Clock


@dataclass
class Pace:
    """At most so many bytes a second, all threads together. `stopped` ends every wait at once."""

    clock: Clock
    bytes_a_second: float
    stopped: threading.Event
    _free_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """The blocks, each no sooner than the rate allows after those before it."""
        for block in blocks:
            yield block
            self.clock.wait(self.stopped, self._due(len(block)))

    def _due(self, size: int) -> float:
        """Seconds to wait before the next is read."""
        with self._lock:
            now = self.clock.monotonic()
            self._free_at = max(self._free_at, now) + size / self.bytes_a_second
            return self._free_at - now
