"""What the tests of file storage share."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from drplatform.model.backup import BackupKind
from drplatform.model.ports import BLOCK_BYTES, DataStore, DumpEnd, RestoreEnd

MIB = 1024 * 1024


@dataclass
class Backup:
    """A dump held in memory: parts in the order in which they came."""

    parts: list[tuple[int, str, list[bytes]]]
    end: DumpEnd

    def of(self, beginning: str) -> list[bytes]:
        """The blocks of the first part whose name begins so."""
        return next(blocks for _, name, blocks in self.parts if name.startswith(beginning))


def take(store: DataStore, before: Callable[[str], None] = lambda name: None, between: Callable[[str, int], None] = lambda name, n: None):
    """Dump the store; `before` is called before a part is read, `between` after each of its blocks."""

    def read(name: str, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for number, block in enumerate(blocks):
            assert len(block) <= BLOCK_BYTES
            yield block
            between(name, number)

    with store.dump() as dump:
        parts = []
        for part in dump.parts():
            before(part.name)
            parts.append((part.stage, part.name, list(read(part.name, part.blocks()))))
        return Backup(parts, dump.finish())


def bring_back(store: DataStore, backup: Backup) -> RestoreEnd:
    """Restore as the engine does: stage after stage, parts of a stage in parallel."""
    with store.restore() as target:
        for stage in sorted({stage for stage, _, _ in backup.parts}):
            with ThreadPoolExecutor(4) as pool:
                running = [pool.submit(target.load, BackupKind.FULL, name, iter(blocks)) for s, name, blocks in backup.parts if s == stage]
                for future in running:
                    future.result()
        target.loaded()
        return target.finish()
