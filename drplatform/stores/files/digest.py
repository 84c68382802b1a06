"""Content digests of buckets, by reading every object; in parallel, bounded in memory."""

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from drplatform.stores.files import content, grants, listing
from drplatform.stores.files.content import End, Header, Tally

READERS = 4
_AHEAD = 64
T = TypeVar("T")
R = TypeVar("R")


def measure(s3: Any, buckets: tuple[str, ...], select: Callable[[Any, str], Iterator[listing.Entry]]) -> Tally:
    """Read what `select` lists in each bucket."""
    tally = Tally()
    for bucket in buckets:
        tally.open(bucket)
        add = functools.partial(_add, s3, bucket, grants.in_use(s3, bucket), tally)
        for _ in in_parallel(select(s3, bucket), add):
            pass
    return tally


def in_parallel(items: Iterable[T], work: Callable[[T], R], threads: int = READERS) -> Iterator[R]:
    """`work(item)` of each item, in order, some of them worked on ahead. Raises what one of them raised."""
    with ThreadPoolExecutor(threads, thread_name_prefix="files") as pool:
        running = deque[Future[R]]()
        try:
            for item in items:
                running.append(pool.submit(work, item))
                if len(running) >= _AHEAD:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()


def _add(s3: Any, bucket: str, listed: bool, tally: Tally, entry: listing.Entry) -> None:
    header: Header | None = None
    for event in content.read(s3, bucket, entry, listed=listed):
        if isinstance(event, Header):
            header = event
        elif isinstance(event, End) and header:
            tally.add(bucket, header, event.sha256)
