"""What a person sees while something runs: a line for each thing that happens in a drill, and how far work on bytes has come.

Nothing here is measured for a verdict.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import click

from drplatform.model import ports
from drplatform.model.clock import Clock
from drplatform.model.timeline import Event

LINE_SECONDS = 30.0


class Progress:
    """Prints events to standard error, with the seconds since the first one."""

    def __init__(self) -> None:
        self._origin: float | None = None

    def __call__(self, event: Event) -> None:
        if self._origin is None:
            self._origin = event.at.monotonic
        if text := _words(event):
            click.echo(f"{event.at.monotonic - self._origin:7.2f} s  {text}", err=True)


def _words(event: Event) -> str:
    detail = event.detail
    match event.name:
        case "drill.begin":
            return click.style(f"Drill {detail['id']}: {detail['scenario']} (seed {detail['seed']})", bold=True)
        case "activity.begin":
            return str(detail["text"])
        case "activity.failed":
            return click.style(f"  ✗ {detail['error']}", fg="red")
        case "step.begin":
            return f"    {detail['step']}"
        case "step.failed":
            return click.style(f"    ✗ {detail.get('step')}: {detail.get('error', '')}", fg="red")
        case "fault.confirmed":
            return click.style(f"    disaster confirmed: {detail['fault']} on {', '.join(detail['targets'])}", fg="yellow")
        case "backup.end":
            return f"    backup {detail['id']}: {detail['bytes']:,} bytes, chunks: {detail['chunks']}"
        case "mistake.found":
            return f"    found in the log: {detail['verb']} {detail['subject']} at {detail['at']}"
        case _:
            return ""


class Bytes:
    """Progress of work on bytes, on standard error: a bar with rate and time left on a terminal; in a log a plain line now and then.

    `total` in bytes, as far as it is known (0: not at all). May be told from several threads.
    """

    def __init__(self, what: str, total: int, clock: Clock) -> None:
        self._what, self._total, self._clock = what, total, clock
        self._bar: Any = None
        self._done, self._lock = 0, threading.Lock()

    def __enter__(self) -> "Bytes":
        self._begun = self._told = self._clock.monotonic()
        if sys.stderr.isatty():
            bar: Any = click.progressbar(length=self._total, label=self._what, file=sys.stderr, item_show_func=lambda item: self._rate())
            self._bar = bar.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        if self._bar is not None:
            self._bar.__exit__(*exc)
        elif self._told > self._begun:
            click.echo(self._line(), err=True)

    def add(self, count: int) -> None:
        with self._lock:
            self._done += count
            now = self._clock.monotonic()
            if self._bar is not None:
                self._bar.update(count)
            elif now - self._told >= LINE_SECONDS:
                self._told = now
                click.echo(self._line(), err=True)

    def _rate(self) -> str:
        return f"{self._done / 1e6 / max(0.001, self._clock.monotonic() - self._begun):,.1f} MB/s"

    def _line(self) -> str:
        if self._total <= self._done:
            return f"{self._what}: {self._done / 1e6:,.1f} MB, {self._rate()}"
        left = (self._total - self._done) * (self._clock.monotonic() - self._begun) / max(1, self._done)
        return f"{self._what}: {self._done / 1e6:,.1f} of {self._total / 1e6:,.1f} MB, {self._rate()}, about {left:,.0f} s left"


@dataclass(frozen=True)
class Metered:
    """A repository whose bytes are told to `add` as they come and go."""

    inner: ports.Repository
    add: Callable[[int], object]

    def put(self, key: str, data: bytes, sha256: str = "") -> None:
        self.inner.put(key, data, sha256)
        self.add(len(data))

    def get(self, key: str) -> bytes:
        found = self.inner.get(key)
        self.add(len(found))
        return found

    def list(self, prefix: str) -> Iterator[ports.ObjectInfo]:
        return self.inner.list(prefix)

    def delete(self, key: str) -> None:
        self.inner.delete(key)

    def describe(self) -> str:
        return self.inner.describe()
