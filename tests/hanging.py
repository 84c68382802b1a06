"""What hangs in tests, for ever, and a clock by which it is ended at once."""

import threading


class WhenSomethingHangs:
    """A clock by which any time is over as soon as something hangs, and not before: no test depends on how fast the machine is."""

    def __init__(self):
        self._hangs, self._over = threading.Event(), threading.Event()

    def hang(self, *arguments, **more):
        """For ever, or until the test is over."""
        self._hangs.set()
        self._over.wait()

    def wait(self, event, seconds):
        while not event.wait(0.01):
            if self._hangs.is_set():
                self._hangs.clear()
                return False
        return True

    def release(self):
        self._over.set()
