"""Generations of backups, read for detection: what each backup holds, item by item, from its checked and opened parts."""

import hashlib
from collections.abc import Callable, Iterable, Iterator

from drplatform.engine.backups import Catalogue, Opener, reading
from drplatform.model import anomaly, errors, ports
from drplatform.model.anomaly import Generation, Item
from drplatform.model.backup import BASES, Manifest

Piece = tuple[str, str, int, str, bytes]
"""Name, type, size, digest (hex) and the beginning of the content of one item."""
Read = Callable[[Iterable[tuple[str, Iterable[bytes]]]], Iterator[Piece]]
"""From the parts of a backup to its items."""

WINDOW = 64 * 1024


def blocks_in_windows(parts: Iterable[tuple[str, Iterable[bytes]]]) -> Iterator[Piece]:
    """For stores of which nothing more is known: each 64 KiB of a part is an item."""
    for name, blocks in parts:
        number = 0
        for block in blocks:
            for begin in range(0, len(block), WINDOW):
                piece = block[begin : begin + WINDOW]
                yield f"{name}#{number}", name.rpartition("/")[0], len(piece), hashlib.sha256(piece).hexdigest(), piece
                number += 1


def newest(repository: ports.Repository, store: str, count: int) -> list[Manifest]:
    """The newest backups that hold everything of the store, oldest first. Raises SettingsError when there are fewer than two."""
    listing = Catalogue(repository).read(store)
    found = [m for m in listing.manifests if m.kind in BASES][-count:]
    if len(found) < 2:
        raise errors.SettingsError(f"There are {len(found)} full backups of {store}; to compare generations, at least two are needed.")
    return found


def read(manifest: Manifest, repository: ports.Repository, opener: Opener, items: Read) -> Generation:
    """What the backup holds. Raises IntegrityError when it is not whole, KeyUnavailable."""
    pieces = items(reading.parts(manifest, repository, opener))
    found = {name: Item(digest, size, kind, anomaly.looks_random(begin)) for name, kind, size, digest, begin in pieces}
    return Generation(manifest.id, found)
