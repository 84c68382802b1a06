"""The dump of a Redis store: the RDB file of one moment, as one part, checked before it counts as complete.

Parts of a backup of Redis: `rdb`, and from a directory also `log` (frames of `stream`) and `left-out` (lines of text).
"""

from collections.abc import Iterator
from contextlib import contextmanager

from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.model.ports import DumpEnd, Endpoint, Part
from drplatform.stores.redis import psync, rdb

PART, LOG_PART, LEFT_OUT_PART = "rdb", "log", "left-out"


class Snapshot:
    """A snapshot that is coming. Its one part is read once."""

    def __init__(self, transfer: psync.Transfer) -> None:
        self._transfer = transfer
        self._complete = False

    def parts(self) -> Iterator[Part]:
        yield Part(PART, 1, self._blocks)

    def finish(self) -> DumpEnd:
        if not self._complete:
            raise errors.IntegrityError("The snapshot of Redis was not read to its end and is not used; take it again.")
        return DumpEnd(self._transfer.position, self._transfer.position)

    def _blocks(self) -> Iterator[bytes]:
        yield from rdb.checked(self._transfer.blocks())
        self._complete = True


@contextmanager
def snapshot(endpoint: Endpoint, clock: Clock) -> Iterator[Snapshot]:
    transfer = psync.snapshot(endpoint, clock)
    try:
        yield Snapshot(transfer)
    finally:
        transfer.wire.close()
