"""A backup cannot be opened with the key that it was made for."""

from dataclasses import dataclass

from drplatform.faults import _backups


@dataclass(frozen=True)
class BackupWrongKey(_backups.OnBackup):
    """The manifest of the newest backup holds another key than the one that its chunks were sealed with, under the same name."""

    artefact: str = _backups.MANIFEST

    kind = "backup-wrong-key"

    def change(self, seen: _backups.Seen) -> _backups.Change:
        if not seen.manifests:
            return {}
        newest = seen.newest
        others = [wrapped for m in seen.manifests[:-1] for wrapped in m.keys.values() if wrapped not in newest.keys.values()]
        keys = {name: others[-1] if others else _spoiled(wrapped) for name, wrapped in newest.keys.items()}
        return {_backups.manifest_key(newest): _backups.forged(seen, newest, keys=keys)}


def _spoiled(wrapped: str) -> str:
    """Where there is no other key: one that opens with none."""
    middle = len(wrapped) // 2
    return wrapped[:middle] + ("A" if wrapped[middle] != "A" else "B") + wrapped[middle + 1 :]


FAULT = BackupWrongKey
