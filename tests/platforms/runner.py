"""A run of its own in a process that tests interrupt and kill: enters a platform, says so, and waits for ever."""

import os
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from drplatform.platforms import embedded


class Clock:
    def monotonic(self) -> float:
        return time.monotonic()

    def utc(self) -> datetime:
        return datetime.now(UTC)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds)


if __name__ == "__main__":
    try:
        with embedded.EmbeddedPlatform.create(Clock(), Path(sys.argv[1]), {}, os.environ) as platform:
            print(platform.id, flush=True)
            threading.Event().wait()
    except KeyboardInterrupt:
        sys.exit(130)
