"""A follower in the background: replicates a store that has no replication of its own into the other region, until it is stopped."""

import threading
from datetime import datetime
from typing import Any

from drplatform.model import errors, ports
from drplatform.model.clock import Clock, wait_for

EVERY = 1.0
"""Seconds between two passes."""
SECONDS_TO_CATCH_UP = 300.0


class Following:
    """From `source` to `target`, which are in these `regions`. Owns both stores and closes them."""

    def __init__(
        self,
        source: ports.DataStore,
        target: ports.DataStore,
        clock: Clock,
        in_step_until: datetime | None = None,
        regions: tuple[str, str] = ("", ""),
    ) -> None:
        self.regions = regions
        self._in_step_until = in_step_until
        self._source, self._target, self._clock = source, target, clock
        self._stop = threading.Event()
        self._last: ports.ReplicationPass | None = None
        self._passes = 0
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._follow, name=f"follow-{source.name}", daemon=True)

    def start(self) -> None:
        """Begin, and wait for the first whole pass. Raises StoreError."""
        begun = self._clock.utc()
        self._thread.start()
        self._await_pass(begun)

    def lag(self) -> float | None:
        """Seconds of writes that the target may lack now; None before it had everything once."""
        last = self._last
        return (self._clock.utc() - last.as_of).total_seconds() if last and last.as_of else None

    def _await_pass(self, begun: datetime) -> None:
        """Wait for a whole pass that began no earlier. Raises StoreError."""

        def caught_up() -> bool:
            if self._error:
                raise errors.StoreError(f"The follower of {self._source.name} ended: {self._error}")
            last = self._last
            return last is not None and last.as_of is not None and last.as_of >= begun and not last.problem

        wait_for(self._clock, f"the follower of {self._source.name} to catch up", caught_up, within=SECONDS_TO_CATCH_UP)

    def stop(self) -> None:
        """Raises Inconclusive when the follower died: what it did not bring is then not the disaster's doing.

        Raises StoreError when it does not end: a follower that lives could still overwrite what the target takes from now on.
        """
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(SECONDS_TO_CATCH_UP)
            if self._thread.is_alive():
                raise errors.StoreError(
                    f"The follower of {self._source.name} does not end; end this process, then: drplatform failover resume"
                )
        for store in (self._source, self._target):
            store.close()
        if self._error:
            raise errors.Inconclusive(f"The follower of {self._source.name} died: {type(self._error).__name__}: {self._error}")

    def _follow(self) -> None:
        try:
            source: Any = self._source
            for seen in source.replicate(self._target, self._stop, EVERY, self._in_step_until):
                self._last = seen
                self._passes += 1
        except Exception as error:  # noqa: BLE001  the body of a thread: kept, and raised by stop()
            self._error = error
