"""Two parts of a backup have changed places."""

from dataclasses import dataclass

from drplatform.faults import _backups


@dataclass(frozen=True)
class BackupPartsSwapped(_backups.OnBackup):
    """The newest two chunks, or the manifests of the newest two backups, have changed places in the vault."""

    kind = "backup-parts-swapped"

    def change(self, seen: _backups.Seen) -> _backups.Change:
        keys = self.keys(seen)[-2:]
        return _backups.exchanged(seen, keys, reversed(keys)) if len(keys) == 2 else {}


FAULT = BackupPartsSwapped
