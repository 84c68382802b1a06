"""A backup is deleted."""

from dataclasses import dataclass

from drplatform.faults import _backups


@dataclass(frozen=True)
class BackupDeleted(_backups.OnBackup):
    """The newest backup is gone from the vault, with all its objects."""

    kind = "backup-deleted"

    def change(self, seen: _backups.Seen) -> _backups.Change:
        if not seen.manifests:
            return {}
        return {_backups.manifest_key(seen.newest): None, **{c.key: None for c in seen.newest.chunks}}


FAULT = BackupDeleted
