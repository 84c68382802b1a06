"""The network in front of an embedded server: a proxy takes its public address, the server moves behind it, and back.

The proxy is the server's door, so whoever stops, kills or replaces the server ends it as well. Moving restarts the server; one that was
started behind its proxy stays there, so that faults of its network restart nothing.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drplatform.model import errors
from drplatform.model.ports import Address
from drplatform.platforms.embedded import layout
from drplatform.platforms.embedded.process import ServerProcess, Waits

LINKS = "links"
"""Wanted of a platform (see `layout.draw`): servers are behind proxies from the start."""
HOW = "links:"
"""Wanted, with each way in which faults will hinder the network."""
ORDERS = "link.json"
_PASS = {"how": "pass", "sources": [], "seconds": 0.0, "one_way": False, "share": 0.0, "rate": 0.0}
SECONDS_TO_OBEY = 20.0


class Linked:
    """powers.Hinderable, for a server that has a process and a door."""

    name: str
    address: Address
    directory: Path
    place: layout.Place
    _process: ServerProcess
    _door: ServerProcess
    _waits: Waits

    def start_behind_a_proxy(self) -> None:
        """For the first time, and for as long as it is not started again."""
        server: Any = self
        server.disk.mkdir(mode=0o700, parents=True, exist_ok=True)
        server._set(linked=True)
        self._move_behind_a_proxy()

    def hinder(
        self, how: str, sources: Sequence[str], seconds: float = 0.0, one_way: bool = False, share: float = 0.0, rate: float = 0.0
    ) -> None:
        if not self._process.alive():
            raise errors.StoreError(f"{self.name} does not run, so nothing of its network can be hindered; start it first.")
        if not self._door.alive():
            self._move_behind_a_proxy()
        self._order({"how": how, "sources": list(sources), "seconds": seconds, "one_way": one_way, "share": share, "rate": rate})

    def unhinder(self) -> None:
        """The server takes its public address again, by a restart, or lets everything pass where it has always been behind its proxy."""
        server: Any = self
        if not self._orders.exists():
            return
        if server._state.linked and self._door.alive() and self._process.alive():
            self._order(_PASS)
            return
        self._orders.unlink()
        if self._door.alive():
            server.stop()
            server.start()

    def hindered(self) -> str:
        """What the proxy says that it does; empty when there is none."""
        if not self._orders.exists() or not self._door.alive():
            return ""
        found = self._in_force().partition(" ")[0]
        return "" if found == _PASS["how"] else found

    def _in_force(self) -> str:
        seen = self._orders.with_suffix(".seen")
        return seen.read_text() if seen.exists() else ""

    @property
    def _orders(self) -> Path:
        return self.directory / ORDERS

    def _move_behind_a_proxy(self) -> None:
        """The proxy listens before the server starts: a MongoDB member looks for itself at its public address then."""
        server: Any = self
        server.stop()
        self._orders.with_suffix(".seen").unlink(missing_ok=True)  # of an earlier proxy
        self._order_file({**_PASS, "number": 0})
        private = self.place.ports[layout.PRIVATE]
        module = "drplatform.platforms.embedded.proxy"
        root = str(Path(__file__).parents[3])
        words = [self.address.host, str(self.address.port), str(private), str(self._orders)]
        self._door.launch([sys.executable, "-m", module, *words], {"PYTHONPATH": root})
        server._set(door=self._door.pid)
        command = server._recipe.command(self.place, private, server._disk, server._state.settings)
        self._process.launch(command, server.surroundings())
        server._set(pid=self._process.pid, published=True)
        server._wait_until_it_answers()

    def _order(self, orders: Mapping[str, Any]) -> None:
        """Returns when the proxy follows these very orders, not earlier ones of the same kind."""
        number = self._number() + 1
        self._order_file({**orders, "number": number})
        wanted = f"{orders['how']} {number}"
        self._waits.until(f"the proxy of {self.name} to obey", lambda: self._in_force() == wanted, within=SECONDS_TO_OBEY)

    def _number(self) -> int:
        """Of the orders given last."""
        return int(json.loads(self._orders.read_text())["number"]) if self._orders.exists() else 0

    def _order_file(self, orders: Mapping[str, Any]) -> None:
        fresh = self._orders.with_suffix(".new")
        fresh.write_text(json.dumps(dict(orders)))
        fresh.replace(self._orders)
