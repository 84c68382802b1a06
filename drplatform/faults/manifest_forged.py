"""Somebody who may write to the vault changes a manifest."""

from dataclasses import dataclass

from drplatform.faults import _backups


@dataclass(frozen=True)
class ManifestForged(_backups.OnBackup):
    """The manifest of the newest backup leaves out its last chunk, or (of the log) claims to begin where another ends; its checksum is right."""

    artefact: str = _backups.MANIFEST

    kind = "manifest-forged"

    def change(self, seen: _backups.Seen) -> _backups.Change:
        if not seen.manifests:
            return {}
        newest = seen.newest
        return {_backups.manifest_key(newest): _backups.forged(seen, newest, chunks=newest.chunks[:-1], digests={}, counts={})}


FAULT = ManifestForged
