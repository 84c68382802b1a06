"""Polite kills unwind: faults are healed and servers stopped, and what comes after the first signal does not disturb that.

Several signals are common: timeout(1) signals the process and then its group, people press Ctrl-C again.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

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
