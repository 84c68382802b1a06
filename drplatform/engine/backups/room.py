"""Memory that is used again for each chunk: to get as much from the system each time takes longer than deciphering what is put there."""

import threading

_STEP = 1024 * 1024
"""Chunks of about the same size are to find room in what was got for the first."""


class Room(threading.local):
    """Of each thread, for what is looked at and not kept."""

    def __init__(self) -> None:
        self._space = bytearray()

    def of(self, size: int) -> memoryview:
        """So many bytes, with whatever is in them. Until this thread asks for the next."""
        if len(self._space) < size:
            self._space = bytearray(-(-size // _STEP) * _STEP)
        return memoryview(self._space)[:size]
