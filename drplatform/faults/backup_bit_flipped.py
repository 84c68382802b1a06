"""One bit of a backup is another."""

from dataclasses import dataclass

from drplatform.faults import _backups


@dataclass(frozen=True)
class BackupBitFlipped(_backups.OnBackup):
    """One bit in the middle of a chunk, or of the manifest, of the newest backup is flipped in the vault."""

    kind = "backup-bit-flipped"

    def change(self, seen: _backups.Seen) -> _backups.Change:
        return {key: _flipped(seen.objects[key]) for key in self.keys(seen)[-1:] if key in seen.objects}


def _flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


FAULT = BackupBitFlipped
