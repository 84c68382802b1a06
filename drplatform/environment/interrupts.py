"""Polite kills unwind: faults are healed and servers stopped, and what comes after the first signal does not disturb that.

Several signals are common: timeout(1) signals the process and then its group, people press Ctrl-C again. What hangs is ended by a signal of its
own, so that an interruption is heard besides.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any

from drplatform.model import errors
from drplatform.model.clock import Clock

AGAIN = (
    b"drplatform: ending already: what was started is being stopped. kill -9 ends it at once; drplatform heal then clears what is left.\n"
)


class Interrupts:
    """A handler of signals: the first raises KeyboardInterrupt in the main thread, the others only say that it is ending."""

    def __init__(self) -> None:
        self.ending = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.ending:
            os.write(2, AGAIN)
            return
        self.ending = True
        raise KeyboardInterrupt


@contextmanager
def heard() -> Iterator[None]:
    """While it lasts, SIGTERM and SIGINT unwind, where nobody else listens to them and they are not ignored. Only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    unheard = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    handler = Interrupts()
    before = {number: signal.signal(number, handler) for number, usual in unheard.items() if signal.getsignal(number) == usual}
    try:
        yield
    finally:
        for number, usual in before.items():
            signal.signal(number, usual)


OVERDUE: int = getattr(signal, "SIGRTMIN", signal.SIGUSR2)
"""Nobody else uses it where there are real-time signals."""
SECONDS_BETWEEN = 30.0
"""So long what was ended has to clear up before it is ended again."""


LONGER = "DRPLATFORM_PATIENCE allows more seconds"


class _Late(BaseException):
    """Raised where something hangs, in the main thread; nothing but `Bounded` catches it."""


@dataclass(frozen=True)
class Bounding:
    """clock.Bound. `seconds`, if any, hold for everything. Only what the main thread does can be ended: elsewhere nothing is."""

    clock: Clock
    seconds: float = 0.0

    def __call__(self, what: str, seconds: float, seen: Callable[[], str] = str) -> AbstractContextManager[object]:
        if threading.current_thread() is not threading.main_thread():
            return nullcontext()
        return Bounded(self.clock, what, self.seconds or seconds, seen)


class Bounded:
    """The main thread is signalled when it is in here for longer than `seconds`, and again every while until it is out."""

    def __init__(self, clock: Clock, what: str, seconds: float, seen: Callable[[], str]) -> None:
        self._clock, self._what, self._seconds, self._seen = clock, what, seconds, seen
        self._over, self._told, self._late = threading.Event(), "", False
        self._watcher = threading.Thread(target=self._watch, name="bound", daemon=True)

    def __enter__(self) -> None:
        self._before: Any = signal.signal(OVERDUE, _end)
        self._watcher.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        while not self._settled():
            pass
        if self._late and isinstance(error, _Late):
            raise errors.DeadlineExceeded(self._what, self._seconds, f"{self._told or 'nothing'} ({LONGER})") from None

    def _settled(self) -> bool:
        """A signal that comes in the last moment is heard here, and disturbs nothing any more."""
        try:
            self._over.set()
            self._watcher.join()
            signal.signal(OVERDUE, self._before if callable(self._before) else _ignore)
        except _Late:
            return False
        return True

    def _watch(self) -> None:
        pause = self._seconds
        while not self._clock.wait(self._over, pause):
            self._told, self._late, pause = self._told or self._seen(), True, SECONDS_BETWEEN
            signal.pthread_kill(threading.main_thread().ident or 0, OVERDUE)


def _end(number: int, frame: FrameType | None) -> None:
    raise _Late


def _ignore(number: int, frame: FrameType | None) -> None:
    """The default would end the process."""
