"""Stop conditions: any command as a probe. When it fails, what runs is interrupted and heals; a metric is a command that asks for it."""

import shlex
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from drplatform.model import errors
from drplatform.model.clock import Clock

PERIOD = 1.0
TIMEOUT = 10.0
"""Seconds between two looks, and for one; a look that takes longer has failed."""


@dataclass
class StopCondition:
    """`command`: words as for a shell, run without one; empty: never stops. Its words and output are told nowhere, only its program."""

    command: str
    why: str = field(default="", init=False)

    def broken(self) -> str:
        """What is wrong now, in words; empty while it holds. Raises SettingsError when there is no such program."""
        try:
            words = shlex.split(self.command)
            if not words:
                return ""
            done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired:
            return f"{words[0]} did not end within {TIMEOUT:g} s"
        except (OSError, ValueError) as error:
            raise errors.SettingsError(
                f"The stop condition cannot be run ({type(error).__name__}); name a program and its arguments."
            ) from None
        return f"{words[0]} ended with {done.returncode}" if done.returncode else ""

    def require_holds(self) -> None:
        """Before anything is touched. Raises SettingsError: what is broken already could stop nothing."""
        if found := self.broken():
            raise errors.SettingsError(
                f"The stop condition is broken before anything was done ({found}); mend what it looks at, or itself."
            )

    @contextmanager
    def obeyed(self, clock: Clock, interrupt: Callable[[], object]) -> Iterator[None]:
        """Refuse to begin while it is broken; when it breaks within, interrupt. Then raises Inconclusive instead of KeyboardInterrupt."""
        if not self.command.strip():
            yield
            return
        self.require_holds()
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(clock, over, interrupt), name="stop-condition", daemon=True)
        watcher.start()
        try:
            yield
        except KeyboardInterrupt:
            if self.why:
                raise errors.Inconclusive(f"A stop condition ended the run: {self.why}. What it had done is healed.") from None
            raise
        finally:
            over.set()
            watcher.join(2 * TIMEOUT)

    def _watch(self, clock: Clock, over: threading.Event, interrupt: Callable[[], object]) -> None:
        while not clock.wait(over, PERIOD):
            try:
                found = self.broken()
            except errors.SettingsError as error:
                found = str(error)
            if found and not over.is_set():
                self.why = found
                interrupt()
                return
