"""Somebody puts a backup from the future into the vault, so that all others look old enough to be deleted."""

from dataclasses import dataclass
from datetime import timedelta

from drplatform.faults import _backups


@dataclass(frozen=True)
class RetentionPoisoned(_backups.OnBackup):
    """A forged manifest claims that a backup was finished `days` from now: newest of all, it makes the others look expired."""

    artefact: str = _backups.MANIFEST
    days: int = 3650

    kind = "retention-poisoned"

    def change(self, seen: _backups.Seen) -> _backups.Change:
        if not seen.manifests:
            return {}
        newest = seen.newest
        poisoned = f"{newest.finished + timedelta(days=self.days):%Y%m%dT%H%M%SZ}-ffffff"
        later = {"started": newest.started + timedelta(days=self.days), "finished": newest.finished + timedelta(days=self.days)}
        content = _backups.forged(seen, newest, id=poisoned, chunks=(), **later)
        return {_backups.manifest_key(newest).replace(newest.id, poisoned): content}


FAULT = RetentionPoisoned
