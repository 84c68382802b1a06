"""A part of a backup is gone."""

from dataclasses import dataclass

from drplatform.faults import _backups


@dataclass(frozen=True)
class BackupPartMissing(_backups.OnBackup):
    """A chunk, or the manifest, of the newest backup is gone from the vault."""

    kind = "backup-part-missing"

    def change(self, seen: _backups.Seen) -> _backups.Change:
        return {key: None for key in self.keys(seen)[-1:] if key in seen.objects}


FAULT = BackupPartMissing
