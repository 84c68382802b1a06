"""An old manifest stands in the place of the newest."""

import dataclasses
from dataclasses import dataclass

from drplatform.faults import _backups


@dataclass(frozen=True)
class ManifestStale(_backups.OnBackup):
    """The newest backup has the manifest of the one before it, made to look like its own: with its name and a right checksum."""

    artefact: str = _backups.MANIFEST

    kind = "manifest-stale"

    def change(self, seen: _backups.Seen) -> _backups.Change:
        if len(seen.manifests) < 2:
            return {}
        old, newest = seen.manifests[-2:]
        moved = tuple(dataclasses.replace(c, key=c.key.replace(old.id, newest.id)) for c in old.chunks)
        return {_backups.manifest_key(newest): _backups.forged(seen, old, id=newest.id, chunks=moved)}


FAULT = ManifestStale
