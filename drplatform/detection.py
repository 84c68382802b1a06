"""The composition of detection: generations of backups, read as their stores wrote them. Names edges, as `environment` does."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from drplatform.engine import generations
from drplatform.environment import Vault
from drplatform.model import anomaly, errors
from drplatform.stores.files import framing
from drplatform.stores.files.content import End, Header, Void


def examine(vault: Vault, store: str, count: int) -> list[anomaly.Finding]:
    """A finding for each of the newest generations of the store, oldest first. Raises KeyUnavailable without a private key."""
    if vault.opener is None:
        raise errors.KeyUnavailable("Looking into backups needs a private key; name an age identity file with --identity.")
    chosen = generations.newest(vault.repository, store, count)
    read = READERS.get(chosen[-1].store_kind, generations.blocks_in_windows)
    return anomaly.examine([generations.read(m, vault.repository, vault.opener, read) for m in chosen])


def files(parts: Iterable[tuple[str, Iterable[bytes]]]) -> Iterator[generations.Piece]:
    """Every object of the buckets; the type is the ending of its key."""
    for name, blocks in parts:
        if name.startswith("content/"):
            yield from _objects(name.split("/")[1], blocks)


def _objects(bucket: str, blocks: Iterable[bytes]) -> Iterator[generations.Piece]:
    header, begin, digest = None, b"", hashlib.sha256()
    for event in framing.events(blocks):
        match event:
            case Header():
                header, begin, digest = event, b"", hashlib.sha256()
            case End() if header:
                yield f"{bucket}/{header.key}", PurePosixPath(header.key).suffix, header.size, digest.hexdigest(), begin
            case Void():
                header = None
            case bytes():
                digest.update(event)
                begin = begin or event[: anomaly.SAMPLE_BYTES]


READERS = {"files": files}
"""By the kind of the store; others are compared in windows."""
