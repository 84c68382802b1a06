"""Somebody has the credentials that backups are written with, and destroys what they let him."""

from dataclasses import dataclass

from drplatform.faults import _backups


@dataclass(frozen=True)
class BackupCredentialsStolen(_backups.OnBackup):
    """All backups of a store (of the kind `of`, or all that a restore begins with) are deleted with the credentials that write them.

    A vault that keeps what its writers delete withstands: then not all is gone, and the run is INCONCLUSIVE as a disaster.
    """

    artefact: str = _backups.MANIFEST

    kind = "backup-credentials-stolen"

    def change(self, seen: _backups.Seen) -> _backups.Change:
        places = tuple(_backups.manifest_key(m).removesuffix("manifest.json") for m in seen.manifests)
        return {key: None for key in seen.objects if key.startswith(places)}


FAULT = BackupCredentialsStolen
