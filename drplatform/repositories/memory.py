"""Objects in memory: for tests, and for what need not outlive the process."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.model.ports import ObjectInfo


class MemoryRepository:
    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock
        self._objects: dict[str, tuple[bytes, datetime]] = {}
        self._lock = threading.Lock()

    def put(self, key: str, data: bytes, sha256: str = "") -> None:
        now = self._clock.utc() if self._clock else datetime(2026, 1, 1, tzinfo=UTC)
        with self._lock:
            held = self._objects.setdefault(key, (bytes(data), now))
        if held[0] != data:
            raise errors.ObjectExists(f"{key} exists with other content; objects are never overwritten.")

    def get(self, key: str) -> bytes:
        with self._lock:
            if key not in self._objects:
                raise errors.ObjectMissing(f"{key} is not in {self.describe()}.")
            return self._objects[key][0]

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._lock:
            found = sorted((k, len(data), at) for k, (data, at) in self._objects.items() if k.startswith(prefix))
        return (ObjectInfo(*row) for row in found)

    def delete(self, key: str) -> None:
        with self._lock:
            self._objects.pop(key, None)

    def describe(self) -> str:
        return "memory"
