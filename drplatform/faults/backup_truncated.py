"""A part of a backup is cut short."""

from dataclasses import dataclass

from drplatform.faults import _backups


@dataclass(frozen=True)
class BackupTruncated(_backups.OnBackup):
    """The second half of a chunk, or of the manifest, of the newest backup is gone from the vault."""

    kind = "backup-truncated"

    def change(self, seen: _backups.Seen) -> _backups.Change:
        return {key: seen.objects[key][: len(seen.objects[key]) // 2] for key in self.keys(seen)[-1:] if key in seen.objects}


FAULT = BackupTruncated
