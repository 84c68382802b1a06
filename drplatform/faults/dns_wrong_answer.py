"""The public names of stores lead to a place where nobody is."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _names
from drplatform.model import errors, ports, powers


@dataclass(frozen=True)
class DnsWrongAnswer:
    """The public names of `stores` answer with another address, `to` (by default one of the machine's own where nobody listens)."""

    stores: tuple[str, ...] = ("redis",)
    to: str = "127.255.255.254"

    kind = "dns-wrong-answer"

    def affects(self) -> frozenset[str]:
        """Who holds a connection goes on; who has to look the name up notices."""
        return frozenset()

    def needs(self) -> frozenset[str]:
        return frozenset({"names"})

    def aim(self, scene: ports.Scene) -> powers.Aim:
        found = self._found(scene)
        return powers.Aim(tuple(found), len(found))

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        """What the names answer. Raises SettingsError for what is no address, Inconclusive for a store without a name."""
        try:
            ipaddress.IPv4Address(self.to)
        except ValueError as error:
            raise errors.SettingsError(f"A name can answer an IPv4 address such as 192.0.2.1, not {self.to!r}.") from error
        found = self._found(scene)
        if stays := [name for name, places in found.items() if places == [self.to]]:
            raise errors.SettingsError(f"{', '.join(stays)} has the address {self.to} already; take another.")
        return {"addresses": found}

    def apply(self, scene: ports.Scene) -> None:
        _names.set_addresses(scene, {name: [self.to] for name in self._found(scene)})

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        """The names are looked up as clients do."""
        wrong = [name for name in before["addresses"] if _names.addresses(scene, name) == [self.to]]
        if len(wrong) < len(before["addresses"]):
            return ports.Receipt((), f"{len(wrong)} of {len(before['addresses'])} names answer {self.to}")
        return ports.Receipt(tuple(wrong), f"looked up, each of them is at {self.to}")

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        """What was pointed elsewhere since, by a failover, is left alone."""
        wrong = {name: was for name, was in before["addresses"].items() if _names.addresses(scene, name) == [self.to]}
        if wrong:
            _names.set_addresses(scene, wrong)

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        return not any(_names.addresses(scene, name) == [self.to] for name in before["addresses"])

    def _found(self, scene: ports.Scene) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for store in self.stores:
            hosts = _names.hosts(scene, store)
            if not hosts:
                raise errors.Inconclusive(f"{store} has no public name yet that could be wrong; point it somewhere first.")
            found |= hosts
        return found


FAULT = DnsWrongAnswer
