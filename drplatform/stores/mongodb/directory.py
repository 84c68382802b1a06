"""A directory of mongodump as a store, chosen by the option `directory` of the endpoint: dumped it is imported, restored into it is exported.

Offers what of `ports.DataStore` makes sense without a server; all else is a StoreError.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NoReturn

from drplatform.model import errors
from drplatform.model.backup import Digest
from drplatform.model.ledger import Mark
from drplatform.model.ports import Dump, Endpoint, Marker, Prober, Restore
from drplatform.model.position import Position
from drplatform.stores.mongodb import exporting, importing, layout


class MongoDirectory:
    """See `ports.DataStore`."""

    name = "mongodb"
    kind = "mongodb"
    ordered = False

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self.path = endpoint, Path(endpoint.options["directory"])

    def identity(self) -> str:
        return f"directory {self.path.absolute()}"

    def version(self) -> str:
        """Of the server that was dumped, where that is said, so that one of an earlier release refuses what it cannot hold."""
        told = layout.server_version(self.path)
        return f"mongod {told}" if told else "a directory of mongodump"

    def occupants(self) -> tuple[str, ...]:
        return tuple(sorted(entry.name for entry in self.path.iterdir())) if self.path.exists() else ()

    def dump(self) -> AbstractContextManager[Dump]:
        return importing.importing(self.path)

    def restore(self) -> AbstractContextManager[Restore]:
        return exporting.export(self.path)

    def position(self) -> Position:
        self._refuse()

    def digest(self) -> Mapping[str, Digest]:
        self._refuse()

    def seed(self, seed: int, items: int) -> None:
        self._refuse()

    def marker(self, client: str) -> Marker:
        self._refuse()

    def marks(self) -> Iterator[Mark]:
        self._refuse()

    def prober(self, anchor: Mark, payload: bytes) -> Prober:
        self._refuse()

    def close(self) -> None:
        """Nothing is held between calls."""

    def _refuse(self) -> NoReturn:
        raise errors.StoreError(f"{self.path} is a directory, and nobody serves it; restore it into a server and name its address.")
