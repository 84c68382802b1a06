"""What a lost region alone holds: read from its disks, before they are given up, and saved to the vault. Never dropped silently."""

from collections.abc import Iterable
from dataclasses import dataclass

from drplatform.engine import backups
from drplatform.engine.kit import Kit
from drplatform.model import ports
from drplatform.model.backup import BackupKind, Manifest
from drplatform.model.ledger import Mark


@dataclass(frozen=True)
class Divergence:
    """What a lost region held that the serving one has not: the marks of acknowledged writes, and the backups of all that is on its disks."""

    store: str
    region: str
    marks: tuple[Mark, ...]
    saved: tuple[Manifest, ...]


def read(kit: Kit, store: str, region: str, isolated: Iterable[ports.Endpoint]) -> Divergence:
    """`isolated`: the region's servers, started alone on their disks. Raises StoreError."""
    endpoints = tuple(isolated)
    serving = _marks(kit, kit.platform.endpoint(kit.policy.stores[store].kind))
    there = {mark for endpoint in endpoints for mark in _marks(kit, endpoint)}
    saved = tuple(_save(kit, store, region, number, endpoint) for number, endpoint in enumerate(endpoints, 1))
    return Divergence(store, region, only_in(there, serving), saved)


def only_in(there: Iterable[Mark], here: Iterable[Mark]) -> tuple[Mark, ...]:
    """The marks that are there and not here."""
    return tuple(sorted(set(there) - set(here), key=lambda m: (m.client, m.number)))


def _save(kit: Kit, store: str, region: str, number: int, endpoint: ports.Endpoint) -> Manifest:
    """A backup under a name of its own: no recovery of the store must ever take it for its history."""
    alone = kit.connect(endpoint)
    try:
        alone.name = f"{store}-left-in-{region}-{number}"
        kind = BackupKind.SNAPSHOT if alone.kind == "redis" else BackupKind.FULL
        return backups.back_up(alone, kind, kit.repository, kit.keys.recipients, kit.clock, kit.random)
    finally:
        alone.close()


def _marks(kit: Kit, endpoint: ports.Endpoint) -> list[Mark]:
    store = kit.connect(endpoint)
    try:
        return list(store.marks())
    finally:
        store.close()
