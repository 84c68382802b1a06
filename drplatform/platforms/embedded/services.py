"""The services of the reference application as processes of a region. See `model.services.Serving`.

Knows how a service is started and where its settings lie; which services there are, and their order, is the policy's.
"""

import http.client
import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from drplatform.model import errors, services
from drplatform.model.ports import Address, Endpoint
from drplatform.platforms.embedded import layout
from drplatform.platforms.embedded.server import Server

KIND = "service"
SETTINGS = "settings.json"
PORTS = {layout.PUBLIC: 8080, layout.PRIVATE: 8080}
"""Of a service that has an address of its own."""


class Process:
    """The command line of a service. Its keys are in a private file beside its disk."""

    transient: tuple[type[Exception], ...] = (OSError, http.client.HTTPException)

    def __init__(self, service: str, python: str = sys.executable) -> None:
        self._service, self._python = service, python

    def command(self, place: layout.Place, port: int, disk: Path, settings: Mapping[str, str]) -> list[str]:
        file = disk.parent / SETTINGS
        module = [self._python, "-m", "drplatform.application", self._service]
        return [*module, "--listen", f"{place.host}:{port}", "--settings", str(file)]

    def environment(self) -> Mapping[str, str]:
        return {}

    def answers(self, place: layout.Place, address: Address) -> bool:
        connection = http.client.HTTPConnection(address.host, address.port, timeout=2)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        finally:
            connection.close()


class Services:
    """All that are deployed, by region and name. `place` and `server` make one; `endpoint` tells where a store is reached now."""

    def __init__(
        self,
        place: Callable[[str, str], layout.Place],
        server: Callable[[str, layout.Place], Server],
        endpoint: Callable[[str], Endpoint],
    ) -> None:
        self._place, self._server, self._endpoint = place, server, endpoint
        self._deployed: dict[tuple[str, str], Server] = {}
        self._lock = threading.Lock()

    def deploy(self, region: str, service: str, depends_on: Sequence[str]) -> Server:
        """See `services.Serving`."""
        if service not in services.ROLES:
            raise errors.SettingsError(
                f"There is no service {service!r} to deploy; the reference application has {', '.join(services.ROLES)}."
            )
        with self._lock:
            if (region, service) not in self._deployed:
                self._deployed[region, service] = self._server(service, self._place(region, service))
            found = self._deployed[region, service]
        found.stop()
        found.lift()
        self._write_settings(found, region, service, depends_on)
        return found

    def stand_by(self, region: str) -> None:
        """See `services.Serving`."""
        for server in self.of(region).values():
            server.fence()

    def of(self, region: str) -> dict[str, Server]:
        with self._lock:
            return {name: server for (where, name), server in self._deployed.items() if where == region}

    def started(self) -> tuple[Server, ...]:
        """Those that were started, and may run: the others are on standby."""
        return tuple(server for server in self.everything() if server.begun and not server.fenced)

    def everything(self) -> tuple[Server, ...]:
        with self._lock:
            return tuple(self._deployed.values())

    def _write_settings(self, server: Server, region: str, service: str, depends_on: Sequence[str]) -> None:
        stores = {name: self._endpoint(name) for name in depends_on if name not in services.ROLES}
        others = {name: one.address for name, one in self.of(region).items() if name in depends_on}
        server.directory.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(server.directory / SETTINGS, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(services.settings(service, region, depends_on, stores, others), file)


def free_place(drawn: layout.Layout, region: str, service: str) -> layout.Place:
    """A place on the region's address, at a port that no server of the layout will ask for."""
    host = next(place.host for place in drawn.servers if place.region == region)
    kept = {port for place in (*drawn.servers, drawn.vault) for port in place.ports.values()}
    for _ in range(len(kept) + 1):
        with socket.socket() as taken:
            taken.bind((host, 0))
            port = int(taken.getsockname()[1])
        if port not in kept:
            return layout.Place(f"{service}-{region}", KIND, region, host, {layout.PUBLIC: port, layout.PRIVATE: port})
    raise errors.SettingsError(f"No free port is left on {host}; end something that listens there.")
