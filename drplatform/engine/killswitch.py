"""The kill switch: while it is pulled, nothing that hurts begins, and what runs is interrupted and heals.

A file tells, so that every process of the same state directory sees it, whoever pulled it.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drplatform.model import errors, whole
from drplatform.model.clock import Clock

PERIOD = 0.2
"""Seconds between two looks at the switch."""


@dataclass(frozen=True)
class KillSwitch:
    """`interrupt` is called once, from another thread, when the switch is pulled while something obeys it."""

    path: Path
    interrupt: Callable[[], object]

    def pull(self, who: str, when: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole.write(self.path, json.dumps({"who": who, "when": when}))

    def release(self) -> None:
        self.path.unlink(missing_ok=True)

    def pulled(self) -> Mapping[str, Any] | None:
        """By whom and when; None when it is not. What cannot be read was pulled by somebody."""
        try:
            found: Mapping[str, Any] = json.loads(self.path.read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            return {"who": "somebody", "when": "some time"}
        return found

    def require_released(self) -> None:
        """Raises SettingsError while the switch is pulled."""
        if by := self.pulled():
            raise errors.SettingsError(
                f"Everything was stopped by {by.get('who')} at {by.get('when')}; to let faults happen again: drplatform stop --release"
            )

    @contextmanager
    def obeyed(self, clock: Clock) -> Iterator[None]:
        """Refuse to begin while it is pulled, and interrupt what is within when it is."""
        self.require_released()
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(clock, over), name="kill-switch", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join(10)

    def _watch(self, clock: Clock, over: threading.Event) -> None:
        while not clock.wait(over, PERIOD):
            if self.pulled():
                self.interrupt()
                return
