"""A platform of objects: the regions and powers of a real one, without processes. For tests of the engine.

A store is connected to `server(endpoint)`: the MemoryServer behind an endpoint at this moment. Each region has one server a kind; the
secondary's is a replica in name only (it holds nothing). Must not know what stores keep in a server.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from drplatform.model import errors
from drplatform.model.memory import MemoryServer
from drplatform.model.ports import Address, Endpoint, Region

REGIONS = ("primary", "secondary")
KINDS = ("mongodb", "redis", "files")
VAULT_BUCKET = "backups"


class MemoryInstance:
    """An Instance that can be killed and erased: states of the server it holds."""

    def __init__(self, kind: str, region: str, address: Address) -> None:
        self.name = f"{kind}-{region}-1"
        self.kind, self.region, self.address = kind, region, address
        self.server = MemoryServer(alive=False)
        self.listens_at = address

    def start(self) -> None:
        self.server.alive = True

    def stop(self) -> None:
        self.server.alive = False

    def kill(self) -> None:
        self.server.alive = False

    def running(self) -> bool:
        return self.server.alive

    def erase(self) -> None:
        if self.server.alive:
            raise errors.StoreError(f"{self.name} runs; stop or kill it before its disk is erased.")
        self.server.lose()

    def stored_bytes(self) -> int:
        """One byte an item: enough to tell something from nothing."""
        with self.server.lock:
            return len(self.server.data) + len(self.server.log)


class MemoryPlatform:
    """ports.Platform and ports.Provisionable. Several may exist at once; addresses are unique within one."""

    name = "memory"
    id = "memory"

    def __init__(self, directory: Path, kinds: Sequence[str] = KINDS) -> None:
        self.directory = directory
        self._ports = itertools.count(1)
        self._instances = tuple(MemoryInstance(kind, region, self._address(region)) for region in REGIONS for kind in kinds)
        self._serving = dict.fromkeys(kinds, REGIONS[0])
        self._vault = MemoryServer(alive=False)
        self._vault_address = self._address("vault")

    def __enter__(self) -> Self:
        for instance in self._instances:
            instance.start()
        self._vault.alive = True
        return self

    def __exit__(self, *exc: object) -> None:
        for instance in self._instances:
            instance.stop()
        self._vault.alive = False

    @property
    def regions(self) -> tuple[Region, ...]:
        return tuple(Region(name, tuple(i for i in self._instances if i.region == name)) for name in REGIONS)

    def endpoint(self, kind: str) -> Endpoint:
        return Endpoint(kind, (self._of(self._serving[kind], kind).address,))

    def vault(self) -> Endpoint:
        return Endpoint("files", (self._vault_address,), {"bucket": VAULT_BUCKET})

    def server(self, endpoint: Endpoint) -> MemoryServer:
        """The server that answers at the endpoint now. Raises StoreError when none does."""
        for server, address in [*((i.server, i.listens_at) for i in self._instances), (self._vault, self._vault_address)]:
            if server.alive and address in endpoint.addresses:
                return server
        raise errors.StoreError(f"Nothing answers at {', '.join(map(str, endpoint.addresses))}.")

    def fence(self, region: str, kind: str) -> None:
        self._of(region, kind).stop()

    def provision(self, region: str, kind: str) -> Endpoint:
        instance = self._of(region, kind)
        if instance.running():
            raise errors.RecoveryFailed(f"Cannot provision {kind} while {instance.name} still runs; fence its region first.")
        instance.server = MemoryServer(generation=instance.server.generation + 1)
        instance.listens_at = self._address(region)
        return Endpoint(kind, (instance.listens_at,))

    def publish(self, region: str, kind: str) -> None:
        instance = self._of(region, kind)
        if not instance.running() or instance.listens_at == instance.address:
            raise errors.RecoveryFailed(
                f"Nothing is provisioned in the {region} region that could be published; provision {kind} there first."
            )
        self._refuse_survivors(region, kind)
        instance.listens_at = instance.address
        self._serving[kind] = region

    def rejoin(self, region: str, kind: str) -> None:
        if self._serving[kind] == region or not self._of(self._serving[kind], kind).running():
            raise errors.RecoveryFailed(f"No {kind} serves outside the {region} region for it to rejoin; publish one first.")
        instance = self._of(region, kind)
        instance.stop()
        instance.erase()
        instance.listens_at = instance.address
        instance.start()

    def _refuse_survivors(self, region: str, kind: str) -> None:
        running = [i.name for i in self._instances if i.kind == kind and i.region != region and i.running()]
        if running:
            raise errors.RecoveryFailed(f"Cannot publish {kind} while {', '.join(running)} still run; fence their region first.")

    def _of(self, region: str, kind: str) -> MemoryInstance:
        for instance in self._instances:
            if (instance.region, instance.kind) == (region, kind):
                return instance
        raise errors.SettingsError(f"This platform has no {kind!r} in a region {region!r}.")

    def _address(self, region: str) -> Address:
        return Address(f"{region}.memory", next(self._ports))
