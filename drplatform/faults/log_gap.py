"""The captured log has a gap."""

from dataclasses import dataclass

from drplatform.faults import _backups


@dataclass(frozen=True)
class LogGap(_backups.OnBackup):
    """A slice from the middle of the captured log is gone from the vault."""

    of: str = "log"

    kind = "log-gap"

    def change(self, seen: _backups.Seen) -> _backups.Change:
        if len(seen.manifests) < 2:
            return {}
        middle = seen.manifests[(len(seen.manifests) - 1) // 2]  # never the last: what is behind a gap makes it one
        return {_backups.manifest_key(middle): None, **{c.key: None for c in middle.chunks}}


FAULT = LogGap
