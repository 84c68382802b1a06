"""Whether the users of a store are served: by the probers of a drill, or, where nobody probes, by asking now."""

from collections.abc import Callable, Mapping
from typing import Protocol

from drplatform.engine.probing import Probing
from drplatform.engine.workload import User
from drplatform.model import errors, ledger
from drplatform.model.clock import Clock
from drplatform.model.ledger import Mark

SECONDS_DOWN = 1.0
"""A service that failed every attempt for so long is down: one failure may be chance."""
SECONDS_SERVED = 0.5
_ATTEMPT_SECONDS = 1.0


class Watch(Protocol):
    def down(self, store: str) -> bool:
        """Whether every attempt of the last SECONDS_DOWN failed."""

    def served(self, store: str, since: float) -> bool:
        """Whether, since that moment (monotonic seconds), users are served, throughout SECONDS_SERVED."""


class ProbingWatch:
    """What the probers of a drill see."""

    def __init__(self, probing: Mapping[str, Probing], clock: Clock) -> None:
        self._probing, self._clock = probing, clock

    def down(self, store: str) -> bool:
        since = self._clock.monotonic() - SECONDS_DOWN
        recent = [s for s in self._probing[store].samples()[-200:] if s.end >= since]
        return len(recent) >= 3 and not any(s.ok for s in recent)

    def served(self, store: str, since: float) -> bool:
        return self._probing[store].sustained(since, SECONDS_SERVED)


class DirectWatch:
    """Attempts of its own: a write that is acknowledged and read again, through the public name. Each look is one attempt."""

    def __init__(self, users: Callable[[str], User], clock: Clock, name: str) -> None:
        self._users, self._clock, self._name = users, clock, name
        self._failing: dict[str, float] = {}
        self._serving: dict[str, float] = {}
        self._number = 0

    def down(self, store: str) -> bool:
        return (
            self._clock.monotonic() - self._failing.get(store, self._clock.monotonic()) >= SECONDS_DOWN
            if not self._attempt(store)
            else False
        )

    def served(self, store: str, since: float) -> bool:
        return self._attempt(store) and self._clock.monotonic() - max(since, self._serving[store]) >= SECONDS_SERVED

    def _attempt(self, store: str) -> bool:
        """Notes since when the attempts have failed, or succeeded, without exception."""
        began = self._clock.monotonic()
        try:
            self._use(self._users(store))
        except errors.StoreError:
            self._serving.pop(store, None)
            self._failing.setdefault(store, began)
            return False
        self._failing.pop(store, None)
        self._serving.setdefault(store, began)
        return True

    def _use(self, user: User) -> None:
        self._number += 1
        payload = ledger.payload(self._name, self._number, 0)
        mark = Mark(self._name, self._number, ledger.digest(payload))
        marker = user.marker(self._name)
        try:
            marker.write(mark, payload)
        finally:
            marker.close()
        prober = user.prober(mark, payload)
        try:
            prober.attempt(self._number, _ATTEMPT_SECONDS)
        finally:
            prober.close()
