"""The parts of a backup are in another order."""

import dataclasses
from dataclasses import dataclass

from drplatform.faults import _backups
from drplatform.model.backup import ChunkRef


@dataclass(frozen=True)
class BackupPartsReordered(_backups.OnBackup):
    """Three chunks have moved on by one place; or the manifest, with a right checksum, names the chunks of the backup in another order."""

    kind = "backup-parts-reordered"

    def change(self, seen: _backups.Seen) -> _backups.Change:
        if self.artefact == _backups.MANIFEST:
            return self._renumbered(seen)
        keys = self.keys(seen)[-3:]
        return _backups.exchanged(seen, keys, [*keys[1:], keys[0]]) if len(keys) > 1 else {}

    def _renumbered(self, seen: _backups.Seen) -> _backups.Change:
        """Of a slice of the log, which is one chunk, what comes before what is told by its positions."""
        if not seen.manifests:
            return {}
        newest, chunks = seen.newest, seen.newest.chunks
        if len(chunks) > 1:
            return {_backups.manifest_key(newest): _backups.forged(seen, newest, chunks=_rotated(chunks))}
        if len(seen.manifests) < 2:
            return {}
        before = seen.manifests[-2]
        return {
            _backups.manifest_key(newest): _backups.forged(seen, newest, begin=before.begin, end=before.end),
            _backups.manifest_key(before): _backups.forged(seen, before, begin=newest.begin, end=newest.end),
        }


def _rotated(chunks: tuple[ChunkRef, ...]) -> tuple[ChunkRef, ...]:
    """Each names the object of the next."""
    following = (*chunks[1:], chunks[0])
    return tuple(dataclasses.replace(c, key=n.key, stored=n.stored, sha256=n.sha256) for c, n in zip(chunks, following, strict=True))


FAULT = BackupPartsReordered
