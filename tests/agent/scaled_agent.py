"""An agent whose clock runs faster, in a process of its own that can be killed. Arguments: configuration, factor, its beginning.

The servers live in their own time: only the agent's schedules, leases and retention go by the fast clock.
"""

import dataclasses
import os
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from real_servers import CLOCK

from drplatform.engine import agent as agents
from drplatform.environment import Environment, Settings, Where

START = datetime(2026, 3, 1, 0, 20, tzinfo=UTC)


class Scaled:
    """A clock on which everything takes `factor` times as long. `began` is the machine's monotonic clock at START."""

    def __init__(self, factor, began):
        self.factor, self.began, self.start = factor, began, START

    def monotonic(self):
        return self.began + (time.monotonic() - self.began) * self.factor

    def utc(self):
        return self.start + timedelta(seconds=(time.monotonic() - self.began) * self.factor)

    def wait(self, event, seconds):
        return event.wait(max(0.0, seconds) / self.factor)


class Fixed(Scaled):
    """Stands still at a moment."""

    def __init__(self, now):
        super().__init__(1, time.monotonic())
        self.now = now

    def utc(self):
        return self.now


class Fast(Environment):
    """Its stores wait for their servers by the machine's clock."""

    def _configured_stores(self, configured, where):
        return Environment(self.settings, CLOCK, self.policy, self.seed)._configured_stores(configured, where)


def opened(clock):
    return dataclasses.replace(Fast.open(Settings.read(os.environ)), clock=clock)


def main():
    configuration, factor, began = sys.argv[1:]
    made = opened(Scaled(float(factor), float(began))).agent(Where(config=Path(configuration)), lambda text: print(text, flush=True))
    running = agents.Agent(dataclasses.replace(made.duties, watch_seconds=600.0))
    signal.signal(signal.SIGTERM, lambda *_: running.stop.set())
    running.run()


if __name__ == "__main__":
    main()
