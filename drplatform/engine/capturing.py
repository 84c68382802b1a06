"""Continuous capture as a service: goes on where the backups end, and opens a new chain with a fresh full backup when they cannot go on."""

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drplatform.engine import backups
from drplatform.engine.capture import Capture
from drplatform.model import errors, ports
from drplatform.model.backup import BackupKind, Manifest, chain_to
from drplatform.model.clock import Clock
from drplatform.model.position import Position

LOOK_SECONDS = 1.0
Tell = Callable[[str], object]


@dataclass
class Capturing:
    """Captures the log of one store. `tell` is given what people should know, loudly where a chain ends."""

    store: ports.DataStore
    base: BackupKind
    repository: ports.Repository
    recipients: Sequence[str]
    clock: Clock
    random: random.Random
    tell: Tell
    capture: Capture | None = None

    def run(self, stop: threading.Event) -> None:
        """Capture until `stop` is set. A gap in the log begins a new chain; other errors end the capture and are raised."""
        while not stop.is_set():
            self.capture = Capture(self.store, self.repository, self.recipients, self.clock, self.random, self._from())
            self.capture.start()
            try:
                self._watch(self.capture, stop)
            except errors.LogGap as error:
                self.tell(f"THE LOG HAS A GAP: {error} A new chain begins.")
                self._back_up()

    def behind(self) -> float:
        """Seconds of history that a loss of the store now would cost, as far as we know: how old the last sealed entry is."""
        assert self.capture
        return max(0.0, self.clock.utc().timestamp() - self.capture.reached.at)

    def _watch(self, capture: Capture, stop: threading.Event) -> None:
        try:
            while capture.error is None and not self.clock.wait(stop, LOOK_SECONDS):
                pass
        finally:
            capture.stop()

    def _from(self) -> Position:
        """Where the log of this very store ends (not an increment: the log goes on without a hole), or where a new full backup does."""
        try:
            listed = backups.Catalogue(self.repository).read(self.store.name).manifests
            chain = chain_to([m for m in listed if m.kind is not BackupKind.INCREMENTAL], self.store.name)
        except errors.LogGap:
            self.tell(f"There is no full backup of {self.store.name} yet; one is taken first.")
            return self._back_up().end
        if chain.base.identity != self.store.identity() or chain.end.timeline != self.store.position().timeline:
            self.tell(f"The backups of {self.store.name} are of another history than its present one. A new chain begins.")
            return self._back_up().end
        self.tell(f"Going on from {chain.end}.")
        return chain.end

    def _back_up(self) -> Manifest:
        made = backups.back_up(self.store, self.base, self.repository, self.recipients, self.clock, self.random)
        self.tell(f"Full backup {made.id}, consistent as of {made.end}.")
        return made
