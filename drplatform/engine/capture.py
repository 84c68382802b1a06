"""Captures a store's log continuously: follows it, and seals what came as slices in the repository, each second or when a block is full.

While the repository does not answer, what came is held, for a while and up to a bound, and sealed when it is back. Never bridges a gap: each slice begins where the one before it ended, or the capture ends with LogGap.
"""

import random
import threading
from collections.abc import Sequence

from drplatform.engine import backups
from drplatform.model import errors, ports
from drplatform.model.clock import Clock
from drplatform.model.position import Position

SEAL_SECONDS = 1.0
IDLE_SECONDS = 10.0
"""While nothing happens, an empty slice says so no more often than this."""
PATIENCE = 300.0
"""How long a repository may be away before the capture ends, in seconds."""
MOST_HELD = 16 * ports.BLOCK_BYTES
"""How much is held at the most while it is away."""


class Capture:
    """One capture session, in a thread of its own. All its slices share one data key."""

    def __init__(
        self,
        store: ports.DataStore,
        repository: ports.Repository,
        recipients: Sequence[str],
        clock: Clock,
        generator: random.Random,
        after: Position,
        *,
        seal_seconds: float = SEAL_SECONDS,
        patience: float = PATIENCE,
    ) -> None:
        if not isinstance(store, ports.LogCapture):
            raise errors.SettingsError(f"{store.name} has no log that could be captured.")
        self._store, self._log, self._repository = store, store, repository
        self._recipients, self._clock, self._generator, self._seal_seconds = tuple(recipients), clock, generator, seal_seconds
        self._key = backups.DataKey.make(recipients)
        self._identity = store.identity()
        self._sealed, self._held = after, list[ports.LogBatch]()
        self._since = self._stored = clock.monotonic()
        self._patience = patience
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"capture-{store.name}", daemon=True)

    @property
    def reached(self) -> Position:
        """Everything up to here is sealed in the repository."""
        return self._sealed

    @property
    def error(self) -> BaseException | None:
        """Why the capture ended by itself, if it did."""
        return self._error

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Seal what was received and end. Raises what ended the capture. Calling it again does nothing."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(30)
        if self._thread.is_alive():
            raise errors.Inconclusive(f"The capture of {self._store.name} did not end; its last slices may be missing.")
        error, self._error = self._error, None
        if error:
            raise (
                error
                if isinstance(error, errors.DrplatformError)
                else errors.Inconclusive(f"The capture of {self._store.name} died: {type(error).__name__}: {error}")
            ) from error

    def _run(self) -> None:
        try:
            for batch in self._log.follow(self._sealed, self._stop):
                self._take(batch)
                if self._due():
                    self._seal_or_hold()
            self._seal()
        except Exception as error:  # noqa: BLE001  the body of a thread: kept, and raised by stop()
            self._error = error

    def _take(self, batch: ports.LogBatch) -> None:
        last = self._held[-1].last if self._held else self._sealed
        if batch.previous != last:
            raise errors.LogGap(f"The log of {self._store.name} jumps from {last} to {batch.previous}; a new full backup is needed.")
        if batch.last != batch.previous:
            self._held.append(batch)

    def _due(self) -> bool:
        waited = self._clock.monotonic() - self._since
        if any(batch.entries for batch in self._held):
            return waited >= self._seal_seconds or sum(len(b.block) for b in self._held) >= ports.BLOCK_BYTES
        return bool(self._held) and waited >= IDLE_SECONDS

    def _seal_or_hold(self) -> None:
        """A repository that is away is tried again when the next slice is due. Raises StoreError when it is away too long, or too much is held."""
        try:
            self._seal()
        except errors.StoreError:
            held = sum(len(batch.block) for batch in self._held)
            if held > MOST_HELD or self._clock.monotonic() - self._stored > self._patience:
                raise
            self._since = self._clock.monotonic()

    def _seal(self) -> None:
        if self._held:
            backups.seal_log(
                self._store, self._identity, self._held, self._key, self._recipients, self._repository, self._clock, self._generator
            )
            self._sealed, self._held = self._held[-1].last, []
        self._since = self._stored = self._clock.monotonic()
