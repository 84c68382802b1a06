"""What backups there are. What has no manifest is no backup; a manifest that is damaged is reported, never passed over."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from drplatform.engine.backups import sealing
from drplatform.model import backup, errors, ports
from drplatform.model.backup import BackupKind, Chain, Manifest
from drplatform.model.position import Position

READERS = 8


def manifest_key(store: str, kind: BackupKind, backup: str) -> str:
    return f"{store}/{kind.value}/{backup}/manifest.json"


@dataclass(frozen=True)
class Listing:
    """The backups, oldest first, and what is wrong with those that cannot be read."""

    manifests: tuple[Manifest, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Catalogue:
    """The backups of a repository, read anew at each call."""

    repository: ports.Repository

    def read(self, store: str = "") -> Listing:
        """All backups, or those of one store."""
        prefix = f"{store}/" if store else ""
        keys = [info.key for info in self.repository.list(prefix) if info.key.endswith("/manifest.json")]
        with ThreadPoolExecutor(READERS, thread_name_prefix="catalogue") as pool:
            found = [one for one in pool.map(self._read, keys) if one is not None]
        manifests = sorted((m for m in found if isinstance(m, Manifest)), key=lambda m: (m.finished, m.id))
        return Listing(tuple(manifests), tuple(str(p) for p in found if not isinstance(p, Manifest)))

    def show(self, backup_id: str) -> Manifest:
        """The backup of that id, or of the only id that begins so. Raises SettingsError."""
        listing = self.read()
        matches = [m for m in listing.manifests if m.id.startswith(backup_id)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise errors.SettingsError(
                f"Several backups begin with {backup_id!r}: {', '.join(m.id for m in matches[:5])}; say more of the id."
            )
        damaged = [p for p in listing.problems if backup_id in p]
        if damaged:
            raise errors.IntegrityError(damaged[0])
        raise errors.SettingsError(f"There is no backup {backup_id!r}; see `drplatform backups list`.")

    def chain_to(self, store: str, until: Position | None = None) -> Chain:
        """The chain that leads to `until` (None: as far as there is no gap). Raises LogGap."""
        return backup.chain_to(self.read(store).manifests, store, until)

    def last_of_chain(self, store: str) -> Manifest:
        """The newest base, or the last increment that continues it. Raises LogGap when there is no base."""
        chain = backup.chain_to([m for m in self.read(store).manifests if m.kind is not BackupKind.LOG], store)
        return chain.backups[-1]

    def _read(self, key: str) -> Manifest | errors.DrplatformError | None:
        """None when it was deleted since it was listed."""
        try:
            return sealing.unpack_manifest(self.repository.get(key), key).manifest
        except errors.IntegrityError as error:
            return error
        except errors.ObjectMissing as error:
            return error if any(info.key == key for info in self.repository.list(key)) else None
