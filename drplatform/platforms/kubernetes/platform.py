"""The Kubernetes platform: what of the embedded platform is another in a cluster: where servers are, how they are reached, what is cleared."""

import contextlib
import platform as machine_of
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.model.ports import Endpoint
from drplatform.platforms.embedded import binaries, layout, lease, links
from drplatform.platforms.embedded.platform import GroupedPlatform
from drplatform.platforms.embedded.server import Recipe, Server
from drplatform.platforms.embedded.services import free_place
from drplatform.platforms.kubernetes import actions, manifests, placed, remote
from drplatform.platforms.kubernetes.cluster import Cluster
from drplatform.platforms.kubernetes.placed import Placed
from drplatform.platforms.kubernetes.remote import RemoteServer
from drplatform.platforms.kubernetes.site import GATEWAY, Site
from drplatform.platforms.kubernetes.ways import HERE, Ways

PROGRAMS = binaries.Programs(Path("/usr/local/bin/mongod"), Path("/usr/local/bin/valkey-server"), Path("/usr/local/bin/weed"))
"""In the image."""
ONE: Mapping[str, str] = {"": ""}
"""Contexts by region: no region, one cluster; no context, the kubeconfig's current one."""
_NEVER = ("ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")
"""Of a pod that will not run: its image was asked for, more than once where that may help, and cannot be had."""


class KubernetesPlatform(Placed, GroupedPlatform):
    """ports.Platform, Scheduled, Clustered, in one cluster or, a region each, in two; each with a namespace of its own, which is gone when it is left.

    Make one with `open_cluster`.
    """

    name = "kubernetes"

    def __init__(
        self,
        clock: Clock,
        base: Path,
        environment: Mapping[str, str],
        wanted: frozenset[str],
        found: Mapping[str, Cluster],
        image: str,
        direct: bool,
    ) -> None:
        super().__init__(clock, base, PROGRAMS, environment, wanted - {links.LINKS})  # connections are always carried
        self._sites, self._image = [Site(cluster, name) for name, cluster in found.items()], image
        self._token = secrets.token_hex(24)
        self._rendered: list[manifests.Document] = []
        self._places: dict[str, layout.Place] = {}
        self._gone: dict[str, str] = {}
        self._ways = Ways(self._sites, self._places, direct, self._waits, environment)  # kubectl's logins may be programs with settings

    @classmethod
    def open_cluster(
        cls,
        clock: Clock,
        base: Path,
        environment: Mapping[str, str],
        wanted: frozenset[str] = frozenset(),
        image: str = manifests.IMAGE,
        kubeconfig: str = "",
        contexts: Mapping[str, str] = ONE,
        direct: bool = False,
    ) -> Self:
        """A platform that starts when it is entered. `contexts`: `ONE` as it is, or a context for each region. `direct`: addresses of services are
        reached from here, as in a pod of the cluster; of two clusters, the ports of their nodes.

        Raises SettingsError without kubectl, or a cluster that answers and has a node which takes pods, or for one cluster as two.
        """
        found = {name: Cluster(kubeconfig, context, environment) for name, context in contexts.items()}
        for cluster in found.values():
            cluster.nodes()
        if len({cluster.uid() for cluster in found.values()}) < len(found):
            raise errors.SettingsError(
                f"The contexts {' and '.join(contexts.values())} are of the same cluster; name one of them, and label its nodes with the regions."
            )
        return cls(clock, base, environment, wanted, found, image, direct)

    def places(self) -> list[tuple[str, str]]:
        """See `powers.Clustered`."""
        return [site.cluster.place() for site in self._sites]

    @property
    def namespace(self) -> str:
        """In each of its clusters."""
        return f"drplatform-{self.id}"

    @property
    def owner(self) -> str:
        return owner(self.directory)

    @property
    def name_server(self) -> Server | None:
        """A process of this machine, outside all regions."""
        return self._names

    # -- its life --------------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Make the namespaces and a machine for each server, and start everything; leaves nothing when it fails."""
        self._lease = lease.create(self._base)
        try:
            drawn = layout.draw(self._wanted)
            drawn.save(self._lease.directory)
            self.id = self._lease.directory.name
            self._prepare(self._lease.directory)
            self._make_machines({p.name: p.region for p in (*drawn.servers, drawn.vault)}, with_gateways=True)
            self._places.update({p.name: p for p in (*drawn.servers, drawn.vault)})
            self._ways.open(self._lease.directory, self._token)
            self.open(self._lease.directory, drawn)
            self._start_servers()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Delete the namespaces and remove the directory: nothing of it is needed any more. What fails in one cluster keeps nothing in the other."""
        assert self._lease, "only the owner closes"
        self._waits.closing.set()
        with contextlib.ExitStack() as undone:  # the last is first
            undone.callback(self._release)
            for site in self._sites:
                undone.callback(site.close)
                undone.callback(self.uncordon, [site.called(name) for name in site.every_node()])

    def _release(self) -> None:
        assert self._lease
        self.id = self.id or self._lease.directory.name
        self._ways.close()
        if self._names:
            self._names.signal_kill()
        self._lease.remove(self._clock)
        self._lease = None

    def abandon(self) -> None:
        """No wait goes on; what runs goes with the namespace."""
        self._waits.closing.set()

    def _prepare(self, directory: Path) -> None:
        overlay = manifests.overlay(directory, self.namespace, self._image)
        self._rendered = self._sites[0].cluster.rendered(overlay)
        manifests.mounted_at(self._rendered, self._base)
        for site in self._sites:
            site.open(self.namespace, manifests.shared(self._rendered, self.namespace, owner(directory), self._token))

    def _make_machines(self, regions: Mapping[str, str], with_gateways: bool = False) -> None:
        """Name -> region; a gateway is in each cluster. Returns when all are ready."""
        gateway = {GATEWAY: ""} if with_gateways else {}
        drawn = [(s, {**gateway, **{n: r for n, r in regions.items() if self.site(r) is s}}) for s in self._sites]
        made = [(site, there) for site, there in drawn if there]
        for site, there in made:
            site.make(self._rendered, there)
        self._waits.until(
            f"the pods of {', '.join((*gateway, *regions))} ({self._image})",
            lambda: [word for site, there in made for word in self._unready(site, there)],
            within=remote.SECONDS_TO_COME,
            holds=lambda unready: not unready,
        )

    def _unready(self, site: Site, names: Iterable[str]) -> list[str]:
        """What is not ready yet, in words. Raises SettingsError for what will never be."""
        found = site.unready(names)
        if never := next((text for text in found if any(reason in text for reason in _NEVER)), ""):
            raise errors.SettingsError(f"The cluster cannot have the image {self._image} ({never}); name another with --image.")
        return found

    def _delete_pod(self, name: str) -> None:
        """Another one comes in its place. The one that goes is noted, so that nobody takes it for the new one."""
        site = self.site(self._places[name].region)
        self._gone[name] = site.pod(name)
        site.remove_pod(name)

    def _act(self, site: Site, wanted: Sequence[actions.Action]) -> None:
        site.cluster.act(wanted, self.directory)

    # -- how servers are reached -----------------------------------------------------------------------------------------------------

    def endpoint(self, kind: str) -> Endpoint:
        return self._reachable(super().endpoint(kind))

    def endpoint_in(self, region: str, kind: str) -> Endpoint:
        return self._reachable(super().endpoint_in(region, kind))

    def provision(self, region: str, kind: str) -> Endpoint:
        return self._reachable(super().provision(region, kind))

    def isolate(self, region: str, kind: str) -> tuple[Endpoint, ...]:
        return tuple(map(self._reachable, super().isolate(region, kind)))

    def _reachable(self, endpoint: Endpoint) -> Endpoint:
        if endpoint.kind != layout.REDIS:
            return endpoint
        source = {"source_bind": HERE, "source_host": HERE, "source_port": str(self._ways.source_port)}
        return replace(endpoint, options={**endpoint.options, **source})

    # -- how it is made --------------------------------------------------------------------------------------------------------------

    def _server(self, place: layout.Place, directory: Path, recipe: Recipe) -> Any:
        """The name server stays on this machine: it is outside all regions."""
        if place.kind == layout.DNS:
            return Server(place, directory, recipe, self._environment, self._waits)
        return RemoteServer(place, directory, recipe, self._ask, self._delete_pod, self._waits)

    def _ask(self, name: str, order: Mapping[str, Any]) -> Any:
        return self._ways.ask(name, order, self._gone.get(name, ""))

    def _service_place(self, drawn: layout.Layout, region: str, service: str) -> layout.Place:
        found = free_place(drawn, region, service)
        self._make_machines({found.name: region})
        self._places[found.name] = found
        self._ways.renew()
        return found


def owner(directory: Path) -> str:
    """The machine and the directory that a namespace is of."""
    return f"{machine_of.node()}:{directory}"


def sweep(base: Path, clock: Clock, found: Sequence[Cluster]) -> int:
    """Clear every platform whose owner died, and its namespaces in these clusters; only of this machine, below `base`. The number of platforms cleared.

    One cluster that does not answer keeps nothing in the others; raises StoreError then.
    """
    cleared = lease.sweep(base, clock)
    left = set[str]()
    with contextlib.ExitStack() as every:
        for cluster in found:
            every.callback(_sweep, cluster, base, left)
    return max(cleared, len(left))


def _sweep(cluster: Cluster, base: Path, left: set[str]) -> None:
    def is_gone(owner: str) -> bool:
        node, _, place = owner.partition(":")
        return node == machine_of.node() and Path(place).parent == base.absolute() and not Path(place).exists()

    for name, by in placed.cordoned(cluster).items():
        if is_gone(by):
            cluster.open_node(name, placed.CORDONED)
    for namespace in cluster.get("namespaces", "-l", f"{manifests.PLATFORM}=true")["items"]:
        gone = is_gone(str((namespace["metadata"].get("annotations") or {}).get(manifests.OWNER, "")))
        if gone and "deletionTimestamp" not in namespace["metadata"]:
            left.add(name := namespace["metadata"]["name"])
            cluster.delete("namespace", name)
