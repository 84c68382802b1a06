"""The data store: a directory of configuration."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from drplatform.model import errors
from drplatform.model.backup import Digest
from drplatform.model.clock import Clock
from drplatform.model.inspection import Change
from drplatform.model.ledger import Mark
from drplatform.model.ports import Dump, Endpoint, Marker, Prober, Restore
from drplatform.model.position import Position
from drplatform.stores.configuration import difference, dump, tree
from drplatform.stores.configuration import entry as entries
from drplatform.stores.configuration import seed as seeds
from drplatform.stores.configuration.entry import SECTIONS, Entry

BackupParts = Iterable[tuple[str, Iterable[bytes]]]


class ConfigurationStore:
    """See `ports.DataStore`."""

    name = "configuration"
    kind = "configuration"
    ordered = False

    def __init__(self, endpoint: Endpoint, clock: Clock) -> None:
        if not endpoint.options.get("directory"):
            raise errors.SettingsError("Configuration needs the option `directory`; name it in its endpoint.")
        self.endpoint, self._clock = endpoint, clock
        self._root = Path(endpoint.options["directory"])

    def identity(self) -> str:
        """The marker file of the directory; made at the first call."""
        return tree.identity(self._root)

    def version(self) -> str:
        return "a directory"

    def position(self) -> Position:
        """The time by our clock, in milliseconds: a directory has no history of its own."""
        identity, at = self.identity(), self._clock.utc().timestamp()
        return Position(identity, (int(at * 1000),), at)

    def occupants(self) -> tuple[str, ...]:
        """Entries by section; the empty directories of the sections themselves do not count."""
        found = Counter(s for s in SECTIONS for entry in tree.entries(self._root, s) if entry.path not in SECTIONS)
        return tuple(f"{section}: {count} entr{'ies' if count > 1 else 'y'}" for section, count in found.items())

    def dump(self) -> AbstractContextManager[Dump]:
        return dump.dump(self._root, self.position())

    def restore(self) -> AbstractContextManager[Restore]:
        return dump.restore(self._root)

    def digest(self) -> Mapping[str, Digest]:
        """By section. That of the secrets is one number over all of them."""
        return dump.measure(self._root).digests()

    def seed(self, seed: int, items: int) -> None:
        seeds.seed(self._root, seed, items)

    def marker(self, client: str) -> Marker:
        raise errors.StoreError("The ledger does not write configuration; leave this store out of the clients' stores.")

    def marks(self) -> Iterator[Mark]:
        """None: the ledger does not write configuration."""
        return iter(())

    def prober(self, anchor: Mark, payload: bytes) -> Prober:
        raise errors.StoreError("Configuration is no service that a prober could use; leave this store out of the probed ones.")

    def close(self) -> None:
        """Nothing is held between calls."""

    # -- inspection -----------------------------------------------------------------------------------------------------------

    def differences(self, before: BackupParts, after: BackupParts | None, without: frozenset[str] = frozenset()) -> Sequence[Change]:
        """What changed from one backup to another, or (None) to the directory as it is now; of content only that it did."""
        old, new = _entries(before, without), self._now() if after is None else _entries(after, without)
        return difference.compare(old, [entry for entry in new if entry.section not in without])

    def documents(self, parts: BackupParts) -> Mapping[str, str]:
        """Path -> text of the manifests; environment and secrets are left out."""
        return difference.documents(_entries([part for part in parts if part[0].startswith("manifests/")]))

    def _now(self) -> list[Entry]:
        return [entry for section in SECTIONS for entry in tree.entries(self._root, section)]


def _entries(parts: BackupParts, without: frozenset[str] = frozenset()) -> list[Entry]:
    """Parts of a section that is left out are not opened."""
    chosen = (part for part in parts if part[0].partition("/")[0] not in without)
    return [entry for name, blocks in chosen for entry in entries.read(name, blocks)[1]]
