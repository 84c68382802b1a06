"""Dump and restore of the tree: one part a section, `manifests/files`, `environment/files`, `secrets/files`, `other/files`, all of stage 0."""

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drplatform.model import errors
from drplatform.model.backup import BASES, BackupKind
from drplatform.model.ports import DumpEnd, Part, RestoreEnd
from drplatform.model.position import Position
from drplatform.stores.configuration import entry as entries
from drplatform.stores.configuration import tree
from drplatform.stores.configuration.entry import DIRECTORY, LINK, SECTIONS, Entry, Tally


def measure(root: Path) -> Tally:
    """Digests of what is there now."""
    tally = Tally()
    for section in SECTIONS:
        for entry in tree.entries(root, section):
            tally.add(entry)
    return tally


@contextmanager
def dump(root: Path, position: Position) -> Iterator["ConfigurationDump"]:
    yield ConfigurationDump(root, position)


class ConfigurationDump:
    """See `ports.Dump`."""

    def __init__(self, root: Path, position: Position) -> None:
        self._root, self._position = root, position
        self._tally, self._lock = Tally(), threading.Lock()

    def parts(self) -> Iterator[Part]:
        for section in SECTIONS:
            yield Part(f"{section}/files", 0, functools.partial(self._blocks, section), section == "secrets")

    def finish(self) -> DumpEnd:
        return DumpEnd(self._position, self._position, self._tally.digests(), self._tally.counts())

    def _blocks(self, section: str) -> Iterator[bytes]:
        return entries.blocks(self._position, self._noted(section))

    def _noted(self, section: str) -> Iterator[Entry]:
        for entry in tree.entries(self._root, section):
            with self._lock:
                self._tally.add(entry)
            yield entry


@contextmanager
def restore(root: Path) -> Iterator["ConfigurationRestore"]:
    yield ConfigurationRestore(root)


class ConfigurationRestore:
    """See `ports.Restore`. Links are made when all files are written, so that nothing is ever written through one."""

    def __init__(self, root: Path) -> None:
        self._root, self._lock, self._written = root, threading.Lock(), Tally()
        self._links: list[Entry] = []
        self._directories: list[Entry] = []
        self._reached: Position | None = None

    def load(self, kind: BackupKind, part: str, blocks: Iterator[bytes]) -> None:
        if kind not in BASES:
            raise errors.StoreError(f"Configuration is restored from full backups, not from {kind}; choose another backup.")
        position, found = entries.read(part, blocks)
        section = part.partition("/")[0]
        for entry in found:
            if entry.section != section:
                raise errors.IntegrityError(f"The part {part} holds {entry.path!r} of another section; do not trust this backup.")
            self._take(entry)
        self._reached = position

    def loaded(self, last: bool = False) -> None:
        """Make links, and give directories their modes, the innermost first."""
        for link in self._links:
            tree.write(self._root, link)
        for directory in sorted(self._directories, key=lambda e: e.path.count("/"), reverse=True):
            tree.close_directory(self._root, directory)

    def replay(self, blocks: Iterator[bytes], until: Position | None) -> None:
        raise errors.StoreError("Configuration has no continuous log; restore without one.")

    def finish(self) -> RestoreEnd:
        """Reads everything back. Raises VerificationFailed when it is not what was written."""
        if self._reached is None:
            raise errors.IntegrityError("The backup holds no configuration at all; do not trust it, use another one.")
        found = measure(self._root)
        written = self._written.digests()
        if wrong := [name for name in SECTIONS if written.get(name) != found.digests().get(name)]:
            raise errors.VerificationFailed(f"Read back, {', '.join(wrong)} differ from what was restored; restore into a fresh directory.")
        return RestoreEnd(self._reached, found.digests(), found.counts())

    def _take(self, entry: Entry) -> None:
        with self._lock:
            self._written.add(entry)
            if entry.kind == LINK:
                self._links.append(entry)
                return
            if entry.kind == DIRECTORY:
                self._directories.append(entry)
        tree.write(self._root, entry)
