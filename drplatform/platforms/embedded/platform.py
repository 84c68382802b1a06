"""The embedded platform: two regions and a vault as real server processes on this machine's loopback, without root or containers.

Owns the start, the end and the composition of its groups; what a group does is in `groups`, who may clear it away in `lease`.
"""

import functools
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Self

from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.model.ports import Credentials, Endpoint, NameServer, Region
from drplatform.model.secret import Secret
from drplatform.platforms.embedded import binaries, layout, lease, links, mongodb, nameserver, pressure, redis, s3
from drplatform.platforms.embedded.groups import FilesGroup, Group, MongodbGroup, RedisGroup
from drplatform.platforms.embedded.process import Waits
from drplatform.platforms.embedded.server import Recipe, Server
from drplatform.platforms.embedded.services import Process, Services, free_place

BUCKETS = ("uploads", "pdfs")
VAULT_BUCKET = "backups"
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TZ")


class GroupedPlatform:
    """ports.Platform, Provisionable, MultiRegion and Vaulted; Named when it was wanted. Where its servers are, `_server` knows."""

    name = "embedded"

    def __init__(
        self,
        clock: Clock,
        base: Path,
        programs: binaries.Programs,
        environment: Mapping[str, str],
        wanted: frozenset[str] = frozenset(),
    ) -> None:
        self.id = ""
        self._clock, self._base, self._programs = clock, base.absolute(), programs
        self._environment = {name: environment[name] for name in INHERITED if name in environment}  # no secrets of ours
        self._waits = Waits(clock, threading.Event())
        self._lease: lease.Lease | None = None
        self._groups: dict[str, Group] = {}
        self._vault: Server | None = None
        self._layout: layout.Layout | None = None
        self._names: Server | None = None
        self._services: Services | None = None
        self._wanted = wanted

    @classmethod
    def create(
        cls,
        clock: Clock,
        base: Path,
        servers: Mapping[str, str],
        environment: Mapping[str, str],
        wanted: frozenset[str] = frozenset(),
    ) -> Self:
        """A platform that starts when it is entered and is gone when it is left. Raises SettingsError when server programs are missing.

        `base` is the private directory for platforms; `servers` maps `mongod`, `redis-server`, `weed` to programs;
        of `environment` the servers inherit PATH, HOME, the language and the library path. `wanted`: see `layout.draw`.
        """
        return cls(clock, base, binaries.find(servers, environment.get("PATH", "")), environment, wanted)

    def __enter__(self) -> Self:
        if not self.id:
            self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._lease:
            self.close()

    @property
    def directory(self) -> Path:
        """Its private directory: what a run keeps here goes with the platform, also when the run is killed and a later one clears it."""
        assert self.id, "the platform was entered"
        return self._base / self.id

    # -- Platform ------------------------------------------------------------------------------------------------------------------

    @property
    def regions(self) -> tuple[Region, ...]:
        """With the services that were started, but not those on standby."""
        instances = (*self.servers(), *(self._services.started() if self._services else ()))
        return tuple(Region(name, tuple(s for s in instances if s.region == name)) for name in self._drawn.regions)

    def endpoint(self, kind: str) -> Endpoint:
        return self._group(kind).endpoint()

    def vault(self) -> Endpoint:
        assert self._vault, "the platform was entered"
        return Endpoint(layout.FILES, (self._vault.address,), {"bucket": VAULT_BUCKET, "region": s3.AWS_REGION}, self._credentials())

    @property
    def vault_server(self) -> Server:
        assert self._vault, "the platform was entered"
        return self._vault

    # -- Provisionable ---------------------------------------------------------------------------------------------------------------

    def fence(self, region: str, kind: str) -> None:
        for server in self._group(kind).servers:
            if server.region == region:
                server.fence()

    def provision(self, region: str, kind: str) -> Endpoint:
        return self._group(kind).provision(region)

    def publish(self, region: str, kind: str) -> None:
        self._group(kind).publish(region)

    def rejoin(self, region: str, kind: str) -> None:
        self._group(kind).rejoin(region)

    # -- MultiRegion, Named ----------------------------------------------------------------------------------------------------------

    def endpoint_in(self, region: str, kind: str) -> Endpoint:
        return self._group(kind).endpoint_in(region)

    def serve_from(self, region: str, kind: str) -> None:
        self._group(kind).serve_from(region)

    def isolate(self, region: str, kind: str) -> tuple[Endpoint, ...]:
        return self._group(kind).isolate(region)

    def resume(self, region: str, kind: str) -> None:
        self._group(kind).resume(region)

    @property
    def named(self) -> bool:
        return self._names is not None

    def names(self) -> NameServer:
        """Raises SettingsError when the platform was made without a name server."""
        if self._names is None:
            raise errors.SettingsError("This platform was made without public names; a drill asks for them in its first sentence.")
        key = Credentials(nameserver.KEY_NAME, Secret(self._drawn.names_key))
        return NameServer(nameserver.KIND, self._names.address, nameserver.ZONE, nameserver.TTL, key)

    # -- Serving -----------------------------------------------------------------------------------------------------------------------

    def deploy(self, region: str, service: str, depends_on: Sequence[str]) -> Server:
        assert self._services, "the platform was entered"
        return self._services.deploy(region, service, depends_on)

    def stand_by(self, region: str) -> None:
        assert self._services, "the platform was entered"
        self._services.stand_by(region)

    def services(self, region: str) -> Mapping[str, Server]:
        return self._services.of(region) if self._services else {}

    # -- its life --------------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take a directory and start everything in it; returns when all is functional. Leaves nothing behind when it fails."""
        self._lease = lease.create(self._base)
        try:
            drawn = self._draw(self._lease.directory)
            drawn.save(self._lease.directory)
            self.open(self._lease.directory, drawn)
            self._start_servers()
        except BaseException:
            self.close()
            raise

    def _draw(self, directory: Path) -> layout.Layout:
        """Where its servers will be; their network is made."""
        return layout.draw(self._wanted)

    def open(self, directory: Path, drawn: layout.Layout) -> None:
        """Take up the servers of a directory, whether they run or not."""
        self.id, self._layout = directory.name, drawn
        self._vault = self._server(drawn.vault, directory, self._weed(drawn, (VAULT_BUCKET,)))
        names = nameserver.Names(Secret(drawn.names_key))
        self._names = self._server(drawn.names, directory, names) if drawn.names else None
        of = {kind: [self._server(p, directory, self._recipe(p, drawn)) for p in drawn.servers if p.kind == kind] for kind in layout.KINDS}
        self._groups = {kind: self._grouped(kind, servers, directory, drawn) for kind, servers in of.items() if servers}
        self._services = self._serving(directory, drawn)

    def _grouped(self, kind: str, servers: Sequence[Server], directory: Path, drawn: layout.Layout) -> Group:
        match kind:
            case layout.MONGODB:
                return MongodbGroup(servers, directory, drawn.replica_set, self._waits)
            case layout.REDIS:
                return RedisGroup(servers, directory, self._waits)
            case _:
                return FilesGroup(servers, directory, self._weed(drawn, BUCKETS), self._files())

    def _serving(self, directory: Path, drawn: layout.Layout) -> Services:
        def server(service: str, place: layout.Place) -> Server:
            return self._server(place, directory, Process(service))

        return Services(functools.partial(self._service_place, drawn), server, self.endpoint)

    def _service_place(self, drawn: layout.Layout, region: str, service: str) -> layout.Place:
        return free_place(drawn, region, service)

    def close(self) -> None:
        """Kill everything and remove the directory: nothing of it is needed any more."""
        self.abandon()
        assert self._lease, "only the owner closes"
        self._lease.remove(self._clock)
        self._lease = None
        for server in self.everything():
            server.alive()  # takes its remains away

    def abandon(self) -> None:
        """No server starts any more, no wait goes on, and those that run are killed, without waiting for their end."""
        self._waits.closing.set()
        for server in self.everything():
            server.signal_kill()

    def keep(self) -> None:
        """Give the platform up without stopping it: it then lives until it is taken down by hand."""
        assert self._lease, "only the owner gives it up"
        self._lease.write(lease.MANUAL)
        self._lease.release()
        self._lease = None

    def servers(self) -> tuple[Server, ...]:
        """All servers of the regions."""
        return tuple(server for group in self._groups.values() for server in group.servers)

    def everything(self) -> tuple[Server, ...]:
        """All servers, the vault's and the name server with them; none before it is entered."""
        deployed = self._services.everything() if self._services else ()
        return (*self.servers(), *(server for server in (self._vault, self._names) if server), *deployed)

    # -- how it is made --------------------------------------------------------------------------------------------------------------

    def _start_servers(self) -> None:
        everything = self.everything()
        for group in self._groups.values():
            group.prepare()
        pool = ThreadPoolExecutor(len(everything) + len(self._groups))
        try:
            linked = self.servers() if links.LINKS in self._wanted else ()
            starts = {s.name: pool.submit(s.start_behind_a_proxy if s in linked else s.start) for s in everything}
            forms = [pool.submit(_form, group, [starts[s.name] for s in group.servers]) for group in self._groups.values()]
            for done in as_completed([*starts.values(), *forms]):
                done.result()
        except BaseException:
            self.abandon()
            raise
        finally:
            pool.shutdown()

    def _server(self, place: layout.Place, directory: Path, recipe: Recipe) -> Server:
        return Server(place, directory, recipe, self._environment, self._waits)

    def _recipe(self, place: layout.Place, drawn: layout.Layout) -> Recipe:
        match place.kind:
            case layout.MONGODB:
                return mongodb.Member(self._programs.mongod, drawn.replica_set)
            case layout.REDIS:
                return redis.Server(self._programs.redis)
            case _:
                return self._weed(drawn, BUCKETS)

    def _weed(self, drawn: layout.Layout, buckets: Sequence[str]) -> s3.Weed:
        return s3.Weed(self._programs.weed, buckets, drawn.access_key, Secret(drawn.secret_key), Secret(drawn.sse_key))

    def _files(self) -> Endpoint:
        return Endpoint(layout.FILES, (), {"buckets": ",".join(BUCKETS), "region": s3.AWS_REGION}, self._credentials())

    def _credentials(self) -> Credentials:
        return Credentials(self._drawn.access_key, Secret(self._drawn.secret_key))

    @property
    def _drawn(self) -> layout.Layout:
        assert self._layout, "the platform was entered"
        return self._layout

    def _group(self, kind: str) -> Group:
        if kind not in self._groups:
            raise errors.SettingsError(
                f"This platform has no {kind!r}; it has {', '.join(self._groups) or 'nothing before it is entered'}."
            )
        return self._groups[kind]


class EmbeddedPlatform(GroupedPlatform):
    """The one whose servers are processes of this machine. Make one with `create` (its own, for one run) or `by_hand.attach`."""

    @property
    def name_server(self) -> Server | None:
        return self._names

    def press(self, processors: int, mebibytes: int) -> None:
        pressure.press(self.directory, self._environment, processors, mebibytes)

    def relieve(self) -> None:
        pressure.relieve(self.directory)

    def pressure(self) -> Mapping[int, str]:
        return pressure.pressure(self.directory)


def _form(group: Group, starts: Sequence["Future[None]"]) -> None:
    for start in starts:
        start.result()
    group.form()
