"""One part of a backup is there twice, in the place of another."""

from dataclasses import dataclass

from drplatform.faults import _backups


@dataclass(frozen=True)
class BackupPartDuplicated(_backups.OnBackup):
    """The newest chunk, or manifest, holds what the one before it holds."""

    kind = "backup-part-duplicated"

    def change(self, seen: _backups.Seen) -> _backups.Change:
        keys = self.keys(seen)[-2:]
        return {keys[1]: seen.objects[keys[0]]} if len(keys) == 2 else {}


FAULT = BackupPartDuplicated
