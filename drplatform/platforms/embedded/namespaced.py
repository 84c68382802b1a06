"""The embedded platform whose servers are in network namespaces, so that the network between them can be cut for good: needs root."""

from pathlib import Path
from typing import Any

from drplatform.model import errors
from drplatform.model.powers import Hindrance
from drplatform.platforms.embedded import layout, links, namespaces
from drplatform.platforms.embedded.namespaces import Namespaces
from drplatform.platforms.embedded.platform import EmbeddedPlatform
from drplatform.platforms.embedded.server import Recipe, Server
from drplatform.platforms.embedded.services import KIND, PORTS

ATTEMPTS = 5


class NamespacedPlatform(EmbeddedPlatform):
    """All powers of the embedded one, and Severable. For one run."""

    hindrances = namespaces.HINDRANCES
    one_way_for_clients = True
    carrier = "the router between the servers' network namespaces"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._wanted -= {links.LINKS}  # nothing stands before a server
        self._network: Namespaces | None = None

    def _draw(self, directory: Path) -> layout.Layout:
        for attempt in range(ATTEMPTS):
            drawn = namespaces.drawn(self._wanted)
            self._network = Namespaces(directory, drawn.servers, self._waits)
            try:
                self._network.make()
                return drawn
            except errors.StoreError:  # another has these addresses
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def close(self) -> None:
        super().close()
        if self._network:
            self._network.close()

    def hinder(self, hindrance: Hindrance) -> None:
        """See `powers.Severable`. Raises SettingsError for what the router cannot do."""
        self._made.hinder(hindrance)

    def unhinder(self) -> None:
        self._made.unhinder()

    def hindered(self) -> Hindrance | None:
        return self._made.hindered()

    def _server(self, place: layout.Place, directory: Path, recipe: Recipe) -> Server:
        return Server(place, directory, recipe, self._environment, self._waits, self._made.within(place))

    def _service_place(self, drawn: layout.Layout, region: str, service: str) -> layout.Place:
        return self._made.add(region, f"{service}-{region}", KIND, PORTS)

    @property
    def _made(self) -> Namespaces:
        assert self._network, "the platform was entered"
        return self._network


def hindered(wanted: frozenset[str]) -> frozenset[str]:
    """In which ways the network will be hindered, of a platform of which this is wanted."""
    return frozenset(one.removeprefix(links.HOW) for one in wanted if one.startswith(links.HOW))


def refused(hows: frozenset[str]) -> str:
    """Why a network of namespaces cannot do all of this here; empty when it can."""
    if beyond := hows - namespaces.HINDRANCES:
        return f"what is {' or '.join(sorted(beyond))} is for proxies"
    return namespaces.missing()
