"""The servers of one kind in all regions, as the group that clients see under one public name: how they form it, and how it is replaced.

One class a kind. Each keeps the region that serves the public name in a file, for those who attach later.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from drplatform.model import errors, whole
from drplatform.model.ports import Address, Endpoint
from drplatform.platforms.embedded import layout, redis, replicaset, s3
from drplatform.platforms.embedded.process import Waits
from drplatform.platforms.embedded.server import Server

_PRIORITIES = {layout.PRIMARY: (2.0, 1.5), layout.SECONDARY: (0.5,), layout.WITNESS: (0.0,)}
"""Of MongoDB members, so that the primary region is preferred. A witness holds the data, but never serves."""
_FOLLOWS = 0.4
"""Of MongoDB members that rejoin while another region serves: they must not take over by themselves."""

TERMS_OF_A_SET = 1_000_000
"""More elections than a MongoDB set of this platform will ever have."""


class Group(Protocol):
    servers: tuple[Server, ...]

    def prepare(self) -> None:
        """Before its servers are started for the first time."""

    def form(self) -> None:
        """Make a group of servers that have just started for the first time; returns when it serves and is in sync."""

    def endpoint(self) -> Endpoint: ...

    def provision(self, region: str) -> Endpoint: ...

    def publish(self, region: str) -> None: ...

    def rejoin(self, region: str) -> None: ...

    def endpoint_in(self, region: str) -> Endpoint: ...

    def serve_from(self, region: str) -> None: ...

    def isolate(self, region: str) -> tuple[Endpoint, ...]: ...

    def resume(self, region: str) -> None: ...


class Members:
    """The servers of a kind, by region, and which region serves."""

    def __init__(self, servers: Iterable[Server], directory: Path) -> None:
        self.all = tuple(servers)
        self._note = directory / f"serving-{self.all[0].kind}"

    @property
    def serving(self) -> str:
        return self._note.read_text() if self._note.exists() else layout.PRIMARY

    def serve_from(self, region: str) -> None:
        whole.write(self._note, region)

    def of(self, region: str) -> tuple[Server, ...]:
        found = tuple(server for server in self.all if server.region == region)
        if not found:
            raise errors.SettingsError(f"There is no region {region!r}; known are {', '.join(dict.fromkeys(s.region for s in self.all))}.")
        return found

    def outside(self, region: str) -> tuple[Server, ...]:
        return tuple(server for server in self.all if server.region != region)

    def require_stopped(self, servers: Iterable[Server], purpose: str) -> None:
        """Raises RecoveryFailed: two histories under one name would mix."""
        running = [server.name for server in servers if server.alive()]
        if running:
            raise errors.RecoveryFailed(
                f"Cannot {purpose} while {', '.join(running)} of the old group still run; fence their region first."
            )

    def require_provisioned(self, region: str) -> Server:
        lead = self.of(region)[0]
        if not lead.alive() or lead.listens_at == lead.address:
            raise errors.RecoveryFailed(
                f"Nothing is provisioned in the {region} region that could be published; provision {lead.kind} there first."
            )
        return lead


class MongodbGroup:
    """A replica set. Clients know all members' addresses and its name, so a new set serves under both."""

    def __init__(self, servers: Iterable[Server], directory: Path, replica_set: str, waits: Waits) -> None:
        self._members, self._name, self._waits = Members(servers, directory), replica_set, waits
        self.servers = self._members.all

    def prepare(self) -> None:
        """They need nothing."""

    def form(self) -> None:
        replicaset.initiate(self._name, {server.address: self._priority(server) for server in self.servers})
        replicaset.wait_for_primary(self.servers[0].address, self._waits)
        replicaset.wait_until_healthy(self.servers[0].address, self._addresses(self.servers), self._waits)

    def endpoint(self) -> Endpoint:
        return self._endpoint(self._addresses(self.servers))

    def provision(self, region: str) -> Endpoint:
        lead, *others = self._members.of(region)
        self._members.require_stopped([lead, *others], f"provision MongoDB in the {region} region")
        lead.renew(published=False)
        replicaset.initiate(self._name, {lead.listens_at: self._priority(lead)}, election_timeout=100)  # alone, it waits for nobody
        replicaset.wait_for_primary(lead.listens_at, self._waits)
        replicaset.outrank(lead.listens_at, self._name, lead.generation * TERMS_OF_A_SET, self._waits)
        replicaset.wait_for_primary(lead.listens_at, self._waits)
        return self._endpoint([lead.listens_at])

    def publish(self, region: str) -> None:
        """The server restarts at the public address and takes the set over; the region's other members then sync from it."""
        lead = self._members.require_provisioned(region)
        self._members.require_stopped(self._members.outside(region), "publish MongoDB")
        lead.stop()
        lead.move()
        lead.start()
        replicaset.take_over(lead.address, self._priority(lead), self._waits)
        replicaset.wait_for_primary(lead.address, self._waits)
        self._members.serve_from(region)
        self._add(self._members.of(region)[1:])

    def rejoin(self, region: str) -> None:
        if not replicaset.find_primary(self._addresses(self._alive(region))):
            raise errors.RecoveryFailed(f"No MongoDB primary lives outside the {region} region for it to rejoin; publish one first.")
        self._leave(region)
        self._add(self._members.of(region), follows=region not in (self._members.serving, layout.WITNESS))

    def endpoint_in(self, region: str) -> Endpoint:
        return self._endpoint(self._addresses(self._members.of(region)))

    def serve_from(self, region: str) -> None:
        self._members.serve_from(region)

    def isolate(self, region: str) -> tuple[Endpoint, ...]:
        """Each a set of its own: a set whose members are at other addresses now cannot elect."""
        self._leave(region)
        for server in self._members.of(region):
            server.unfence(published=False)
            replicaset.take_over(server.listens_at, 1.0, self._waits)
            replicaset.wait_for_primary(server.listens_at, self._waits)
        return tuple(self._endpoint([server.listens_at]) for server in self._members.of(region))

    def resume(self, region: str) -> None:
        for server in self._members.of(region):
            server.unfence(published=True)
        replicaset.wait_until_healthy(self._members.of(region)[0].address, self._addresses(self._members.of(region)), self._waits)

    def _leave(self, region: str) -> None:
        """Those who serve elsewhere go on without the region's votes: as many of them may be gone at once as half of the set has."""
        others = self._addresses(self._alive(region))
        if replicaset.find_primary(others):
            for server in self._members.of(region):
                replicaset.remove(others, server.address, self._waits)

    def _add(self, servers: Sequence[Server], follows: bool = False) -> None:
        for server in servers:
            others = [s.address for s in self.servers if s is not server and s.alive()]
            server.renew(published=True)
            priority = self._priority(server)
            replicaset.add(others, server.address, min(priority, _FOLLOWS) if follows else priority, self._waits)

    def _alive(self, outside: str) -> list[Server]:
        return [server for server in self._members.outside(outside) if server.alive()]

    def _priority(self, server: Server) -> float:
        return _PRIORITIES[server.region][self._members.of(server.region).index(server)]

    def _addresses(self, servers: Iterable[Server]) -> list[Address]:
        return [server.address for server in servers]

    def _endpoint(self, addresses: Sequence[Address]) -> Endpoint:
        return Endpoint(layout.MONGODB, tuple(addresses), {"replica_set": self._name})


class RedisGroup:
    """A primary and its replica in the other region. The public name is the address of the region that serves."""

    def __init__(self, servers: Iterable[Server], directory: Path, waits: Waits) -> None:
        self._members, self._waits = Members(servers, directory), waits
        self.servers = self._members.all

    def prepare(self) -> None:
        for replica in self._members.outside(self._members.serving):
            replica.configure(self._following())

    def form(self) -> None:
        for replica in self._members.outside(self._members.serving):
            redis.wait_until_in_sync(replica.address, self._waits)

    def endpoint(self) -> Endpoint:
        return Endpoint(layout.REDIS, (self._serving().address,))

    def provision(self, region: str) -> Endpoint:
        (server,) = self._members.of(region)
        self._members.require_stopped([server], f"provision Redis in the {region} region")
        server.renew(published=False)
        return Endpoint(layout.REDIS, (server.listens_at,))

    def publish(self, region: str) -> None:
        """The running server moves to the public port; nothing is read again."""
        server = self._members.require_provisioned(region)
        self._members.require_stopped(self._members.outside(region), "publish Redis")
        redis.change_port(server.listens_at, server.address.port)
        server.move()
        server.start()
        self._members.serve_from(region)

    def rejoin(self, region: str) -> None:
        if self._members.serving == region or not self._serving().running():
            raise errors.RecoveryFailed(f"No Redis primary serves outside the {region} region for it to rejoin; publish one first.")
        for server in self._members.of(region):
            server.renew(published=True, settings=self._following())
            redis.wait_until_in_sync(server.address, self._waits)

    def endpoint_in(self, region: str) -> Endpoint:
        return Endpoint(layout.REDIS, (self._members.of(region)[0].address,))

    def serve_from(self, region: str) -> None:
        """The server keeps whom it follows for its next start, so that is told, too."""
        self._members.serve_from(region)
        for server in self.servers:
            server.configure({} if server.region == region else self._following())

    def isolate(self, region: str) -> tuple[Endpoint, ...]:
        (server,) = self._members.of(region)
        server.unfence(published=False)
        return (Endpoint(layout.REDIS, (server.listens_at,)),)

    def resume(self, region: str) -> None:
        """As what it is now: the primary, or a replica of the region that serves."""
        for server in self._members.of(region):
            server.unfence(published=True, settings={} if region == self._members.serving else self._following())

    def _serving(self) -> Server:
        return self._members.of(self._members.serving)[0]

    def _following(self) -> dict[str, str]:
        primary = self._serving().address
        return {redis.FOLLOWS: f"{primary.host} {primary.port}"}


class FilesGroup:
    """One S3 server a region, which do not replicate yet. The public name is the address of the region that serves."""

    def __init__(self, servers: Iterable[Server], directory: Path, weed: s3.Weed, endpoint: Endpoint) -> None:
        self._members = Members(servers, directory)
        self.servers = self._members.all
        self._weed, self._like = weed, endpoint

    def prepare(self) -> None:
        """They need nothing."""

    def form(self) -> None:
        """They have nothing to agree on."""

    def endpoint(self) -> Endpoint:
        return self._endpoint(self._members.of(self._members.serving)[0].address)

    def provision(self, region: str) -> Endpoint:
        (server,) = self._members.of(region)
        self._members.require_stopped([server], f"provision file storage in the {region} region")
        server.renew(published=False)
        return self._endpoint(server.listens_at)

    def publish(self, region: str) -> None:
        """A gateway is opened at the public address. A restart instead makes SeaweedFS refuse writes for up to 15 seconds, now and then."""
        server = self._members.require_provisioned(region)
        server.open_door(self._weed.door(server.place, server.directory))
        self._members.serve_from(region)

    def rejoin(self, region: str) -> None:
        """New and empty, with its buckets: there is no replication of files that could be in sync."""
        if self._members.serving == region:
            raise errors.RecoveryFailed(f"The {region} region serves the files; publish another before it is emptied to rejoin.")
        for server in self._members.of(region):
            server.renew(published=True)

    def endpoint_in(self, region: str) -> Endpoint:
        return self._endpoint(self._members.of(region)[0].address)

    def serve_from(self, region: str) -> None:
        self._members.serve_from(region)

    def isolate(self, region: str) -> tuple[Endpoint, ...]:
        (server,) = self._members.of(region)
        server.unfence(published=False)
        return (self._endpoint(server.listens_at),)

    def resume(self, region: str) -> None:
        """What serves there already is not started again: SeaweedFS would refuse writes for a while."""
        for server in self._members.of(region):
            if server.fenced or not server.running() or server.listens_at != server.address:
                server.unfence(published=True)

    def _endpoint(self, address: Address) -> Endpoint:
        return replace(self._like, addresses=(address,))
