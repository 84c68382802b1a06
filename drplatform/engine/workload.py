"""Clients that write to the stores while a drill runs, and the ledger of what was acknowledged to them.

The ledger is a file outside the platform: each write is noted before it is sent and again when its outcome is known.
"""

import hashlib
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, TextIO

from drplatform.model import errors, ledger, ports
from drplatform.model.clock import Clock, wait_for
from drplatform.model.ledger import Entry, Mark, Outcome

PERIOD = 0.01
PAUSE_AFTER_REFUSAL = 0.05
LONGEST_PAUSE = 0.25
"""Seconds between a client's writes, however slow it is to be: a loss is told by writes from right before a disaster."""
ANCHOR = "anchor"
STAYING = "staying"
"""Who writes the anchor of a store, and who stays where the store was served first."""


class User(Protocol):
    """How a store is used: by clients that write marks, and by probers. A store itself, or its public name."""

    name: str

    def marker(self, client: str) -> ports.Marker: ...

    def prober(self, anchor: Mark, payload: bytes) -> ports.Prober: ...


class Workload:
    """Concurrent clients for each store. Every client numbers its writes 1, 2, 3 ... and never uses a number again."""

    def __init__(
        self,
        stores: Mapping[str, User],
        ledger_path: Path,
        clock: Clock,
        seed: int,
        *,
        clients_per_store: int = 2,
        period: float = PERIOD,
        slower: Mapping[str, float] | None = None,
    ) -> None:
        """`period`: seconds between a client's writes; `slower` names stores with another one."""
        self._slower = slower or {}
        self._stores, self._path, self._clock, self._seed, self._period = stores, ledger_path, clock, seed, period
        self._file: TextIO | None = None
        self._lock = threading.Lock()
        self._acked: Counter[str] = Counter()
        self._anchors: dict[str, tuple[Mark, bytes]] = {}
        self._stop = threading.Event()
        self._errors: list[BaseException] = []
        clients = [(name, f"client-{i}") for name in stores for i in range(1, clients_per_store + 1)]
        self._threads = [self._thread(store, client, stores[store], self._stop) for store, client in clients]
        self._gone = threading.Event()
        self._turned_away: dict[str, float] = {}
        self._times = 1.0

    def start(self) -> None:
        """Write the anchor of each store, then let the clients begin. Raises StoreError when a store takes no anchor."""
        self._file = self._path.open("x", encoding="utf-8")
        for name in self._stores:
            self._write_anchor(name)
        for thread in self._threads:
            thread.start()

    def slow_down(self, times: float) -> None:
        """From now on clients pause so many times longer after each write, up to LONGEST_PAUSE."""
        self._times *= times

    def stay(self, store: str, user: User) -> None:
        """One more client of the store, which reaches it by a way of its own until `leave`. Begins at once."""
        thread = self._thread(store, STAYING, user, self._gone)
        self._threads.append(thread)
        thread.start()

    def leave(self) -> None:
        """Those that stayed write no more."""
        self._gone.set()
        for thread in self._threads:
            if STAYING in thread.name:
                thread.join(10)

    def turned_away(self, store: str) -> float | None:
        """When (monotonic seconds) a client that stays was last denied a connection or a write; None: never."""
        return self._turned_away.get(store)

    def stop(self) -> None:
        """End the writing and make the ledger durable. Raises Inconclusive when a client died: its writes are not all known."""
        self._stop.set()
        self._gone.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(10)
        if alive := [t.name for t in self._threads if t.is_alive()]:
            raise errors.Inconclusive(f"The clients {', '.join(alive)} did not end: a write of theirs hangs.")
        if self._file and not self._file.closed:
            self._file.close()
        if self._errors:
            first = self._errors[0]
            raise errors.Inconclusive(f"A writing client died: {type(first).__name__}: {first}") from first

    def entries(self) -> list[Entry]:
        """The ledger so far."""
        with self._lock, self._path.open(encoding="utf-8") as lines:
            return ledger.read(lines)

    def digest(self) -> str:
        """SHA-256 of the ledger file, in hex."""
        return hashlib.sha256(self._path.read_bytes()).hexdigest()

    def anchor(self, store: str) -> tuple[Mark, bytes]:
        """The first acknowledged write of the store, and its payload."""
        return self._anchors[store]

    def acked(self, store: str) -> int:
        """Writes acknowledged so far."""
        with self._lock:
            return self._acked[store]

    def wait_for_acks(self, store: str, more: int, *, within: float) -> None:
        """Wait until the store has acknowledged so many further writes. Raises DeadlineExceeded."""
        goal = self.acked(store) + more
        wait_for(self._clock, f"{more} more writes to {store}", lambda: self.acked(store), within=within, until=lambda seen: seen >= goal)

    def _write_anchor(self, store: str) -> None:
        marker = self._stores[store].marker(ANCHOR)
        try:
            mark, payload = self._mark(ANCHOR, 1)
            if self._write(store, marker, mark, payload) is not Outcome.ACKED:
                raise errors.StoreError(f"{store} did not acknowledge the first write of the drill; is it serving?")
            self._anchors[store] = (mark, payload)
        finally:
            marker.close()

    def _mark(self, client: str, number: int) -> tuple[Mark, bytes]:
        payload = ledger.payload(client, number, self._seed)
        return Mark(client, number, ledger.digest(payload)), payload

    def _thread(self, store: str, client: str, user: User, stop: threading.Event) -> threading.Thread:
        return threading.Thread(target=self._client, args=(store, client, user, stop), name=f"write-{store}-{client}", daemon=True)

    def _client(self, store: str, client: str, user: User, stop: threading.Event) -> None:
        marker: ports.Marker | None = None
        number = 0
        try:
            while not stop.is_set():
                number += 1
                mark, payload = self._mark(client, number)
                marker = marker or self._open(user, client)
                outcome = self._write(store, marker, mark, payload) if marker else None
                if outcome is not Outcome.ACKED and marker:
                    marker.close()
                    marker = None
                if outcome is not Outcome.ACKED and client == STAYING:
                    self._turned_away[store] = self._clock.monotonic()
                pause = self._slower.get(store, self._period) if outcome is Outcome.ACKED else PAUSE_AFTER_REFUSAL
                self._clock.wait(stop, min(pause * self._times, max(pause, LONGEST_PAUSE)))
        except Exception as error:  # noqa: BLE001  the body of a thread: kept, and raised by stop()
            self._errors.append(error)
        finally:
            if marker:
                marker.close()

    def _open(self, user: User, client: str) -> ports.Marker | None:
        """A connection for the client, or None while the store cannot be reached: then nothing was written."""
        try:
            return user.marker(client)
        except errors.StoreError:
            return None

    def _write(self, store: str, marker: ports.Marker, mark: Mark, payload: bytes) -> Outcome:
        self._note(ledger.invocation_line(store, mark, self._clock.monotonic()))
        try:
            marker.write(mark, payload)
            outcome = Outcome.ACKED
        except errors.NotWritten:
            outcome = Outcome.FAILED
        except errors.StoreError:
            outcome = Outcome.INDETERMINATE
        self._note(ledger.outcome_line(store, mark, self._clock.monotonic(), outcome))
        if outcome is Outcome.ACKED:
            with self._lock:
                self._acked[store] += 1
        return outcome

    def _note(self, line: str) -> None:
        with self._lock:
            assert self._file, "the workload was started"
            self._file.write(line + "\n")
            self._file.flush()
