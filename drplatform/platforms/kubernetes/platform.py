"""The Kubernetes platform: what of the embedded platform is another in a cluster: where servers are, how they are reached, what is cleared."""

import json
import platform as machine_of
import secrets
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.model.ports import Address, Endpoint
from drplatform.platforms.embedded import binaries, layout, lease, links
from drplatform.platforms.embedded.platform import GroupedPlatform
from drplatform.platforms.embedded.process import ServerProcess
from drplatform.platforms.embedded.server import Recipe, Server
from drplatform.platforms.embedded.services import free_place
from drplatform.platforms.kubernetes import actions, forward, manifests, placed, remote
from drplatform.platforms.kubernetes import cluster as clusters
from drplatform.platforms.kubernetes.cluster import Cluster
from drplatform.platforms.kubernetes.placed import Placed
from drplatform.platforms.kubernetes.remote import RemoteServer

PROGRAMS = binaries.Programs(Path("/usr/local/bin/mongod"), Path("/usr/local/bin/valkey-server"), Path("/usr/local/bin/weed"))
"""In the image."""
GATEWAY = "gateway"
"""The machine through which the runner reaches all others. Nothing else runs there."""
SECONDS_TO_FORWARD = 60.0
_HERE = "127.0.0.1"
_NEVER = ("ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")
"""Of a pod that will not run: its image was asked for, more than once where that may help, and cannot be had."""


class KubernetesPlatform(Placed, GroupedPlatform):
    """ports.Platform, Scheduled, Clustered, in a namespace of its own, which is gone when it is left. Make one with `open_cluster`."""

    name = "kubernetes"

    def __init__(
        self, clock: Clock, base: Path, environment: Mapping[str, str], wanted: frozenset[str], cluster: Cluster, image: str, direct: bool
    ) -> None:
        super().__init__(clock, base, PROGRAMS, environment, wanted - {links.LINKS})  # connections are always carried
        self._cluster, self._image, self._direct = cluster, image, direct
        self._whole_environment = dict(environment)  # kubectl's logins may be programs with settings of their own
        self._token = secrets.token_hex(24)
        self._nodes: Mapping[str, tuple[str, ...]] = {}
        self._rendered: list[manifests.Document] = []
        self._entries: dict[str, str] = {}
        self._places: dict[str, layout.Place] = {}
        self._forwarder: ServerProcess | None = None
        self._number = 0
        self._gone: dict[str, str] = {}
        self._source_port = 0

    @classmethod
    def open_cluster(
        cls,
        clock: Clock,
        base: Path,
        environment: Mapping[str, str],
        wanted: frozenset[str] = frozenset(),
        image: str = manifests.IMAGE,
        kubeconfig: str = "",
        context: str = "",
        direct: bool = False,
    ) -> Self:
        """A platform that starts when it is entered. `direct`: addresses of services are reached from here, as in a pod of the cluster.

        Raises SettingsError without kubectl, or a cluster that answers and has a node which takes pods.
        """
        cluster = Cluster(kubeconfig, context, environment)
        cluster.nodes()
        return cls(clock, base, environment, wanted, cluster, image, direct)

    def place(self) -> tuple[str, str]:
        """See `powers.Clustered`."""
        return self._cluster.place()

    @property
    def namespace(self) -> str:
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
        """Make the namespace and a machine for each server, and start everything; leaves nothing when it fails."""
        self._lease = lease.create(self._base)
        try:
            drawn = layout.draw(self._wanted)
            drawn.save(self._lease.directory)
            self.id = self._lease.directory.name
            self._nodes = clusters.regions(self._cluster.nodes(), layout.REGIONS)
            self._prepare(self._lease.directory)
            self._make_machines({GATEWAY: "", **{p.name: p.region for p in (*drawn.servers, drawn.vault)}})
            self._places = {p.name: p for p in (*drawn.servers, drawn.vault)}
            self._source_port = _free_port()
            self._start_forwarding(self._lease.directory)
            self.open(self._lease.directory, drawn)
            self._start_servers()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Delete the namespace and remove the directory: nothing of it is needed any more."""
        assert self._lease, "only the owner closes"
        self._waits.closing.set()
        if self.id:
            self.uncordon([name for names in self._nodes.values() for name in names])
            self._cluster.delete("namespace", self.namespace)
        self.id = self.id or self._lease.directory.name
        if self._forwarder:
            self._forwarder.kill()
        if self._names:
            self._names.signal_kill()
        self._lease.remove(self._clock)
        self._lease = None

    def abandon(self) -> None:
        """No wait goes on; what runs goes with the namespace."""
        self._waits.closing.set()

    def _prepare(self, directory: Path) -> None:
        overlay = manifests.overlay(directory, self.namespace, self._image)
        self._rendered = self._cluster.rendered(overlay)
        manifests.mounted_at(self._rendered, self._base)
        first, *others = manifests.shared(self._rendered, self.namespace, owner(directory), self._token)
        self._cluster.apply([first])
        self._cluster.apply(others)

    def _make_machines(self, regions: Mapping[str, str]) -> None:
        """Name -> region; no region: on any node. Returns when all are ready."""
        made = [manifests.of_machine(self._rendered, name, self._nodes.get(region, ())) for name, region in regions.items()]
        self._cluster.apply([document for machine in made for document in machine])
        for service in self._cluster.get("services", "-n", self.namespace)["items"]:
            self._entries[service["metadata"]["name"]] = f"{service['spec']['clusterIP']}:{manifests.ENTRY}"
        self._waits.until(
            f"the pods of {', '.join(regions)} ({self._image})",
            lambda: self._unready(frozenset(regions)),
            within=remote.SECONDS_TO_COME,
            holds=lambda unready: not unready,
        )

    def _unready(self, names: frozenset[str]) -> list[str]:
        """What is not ready yet, in words. Raises SettingsError for what will never be."""
        pods = {p["metadata"]["labels"][manifests.SERVER]: p for p in self._cluster.get("pods", "-n", self.namespace)["items"]}
        found = []
        for name in sorted(names):
            if why := _why_not_ready(pods.get(name)):
                found.append(f"{name}: {why}")
        if never := next((text for text in found if any(reason in text for reason in _NEVER)), ""):
            raise errors.SettingsError(f"The cluster cannot have the image {self._image} ({never}); name another with --image.")
        return found

    def _delete_pod(self, name: str) -> None:
        """Another one comes in its place. The one that goes is noted, so that nobody takes it for the new one."""
        self._gone[name] = self._pod_id(name)
        self._cluster.remove_pod(self.namespace, f"{name}-0")

    def _act(self, wanted: Sequence[actions.Action]) -> None:
        self._cluster.act(wanted, self.directory)

    def _pod_id(self, name: str) -> str:
        listed = self._cluster.get("pods", "-n", self.namespace, "-l", f"{manifests.SERVER}={name}")["items"]
        return str(listed[0]["metadata"]["uid"]) if listed else ""

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
        source = {"source_bind": _HERE, "source_host": _HERE, "source_port": str(self._source_port)}
        return replace(endpoint, options={**endpoint.options, **source})

    def _start_forwarding(self, directory: Path) -> None:
        """A process of this machine that takes connections at the addresses of all servers."""
        beside = directory / "forward"
        beside.mkdir()
        self._forwarder = ServerProcess("forwarder", beside, directory, self._whole_environment, self._waits)
        self._write_routes(beside)
        root = str(Path(__file__).parents[3])
        self._forwarder.launch([sys.executable, "-m", "drplatform.platforms.kubernetes.forward", str(beside)], {"PYTHONPATH": root})
        self._await_routes()

    def _write_routes(self, beside: Path) -> None:
        self._number += 1
        forwarding = ("port-forward", f"pod/{GATEWAY}-0", "-n", self.namespace, "--address", _HERE, f":{manifests.ENTRY}")
        way = {"gateway": self._entries[GATEWAY]} if self._direct else {"command": self._cluster.command(*forwarding)}
        told = {"token": self._token, "number": self._number, "routes": self._routes(), "back": self._back(), **way}
        fresh = beside / f"{forward.FILE}.new"
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(told))
        fresh.replace(beside / forward.FILE)

    def _await_routes(self) -> None:
        assert self._forwarder
        forwarder, seen = self._forwarder, self.directory / "forward" / forward.SEEN

        def told() -> bool:
            if not forwarder.alive():
                raise errors.StoreError(f"The way into the cluster has ended: {forwarder.last_words()}")
            return seen.exists() and seen.read_text() == str(self._number)

        self._waits.until("the way into the cluster", told, within=SECONDS_TO_FORWARD)

    def _routes(self, without: str = "") -> list[tuple[str, int, str]]:
        """For a machine: all but its own."""
        return [
            (place.host, port, self._entries[name])
            for name, place in self._places.items()
            if name != without
            for port in sorted(set(place.ports.values()))
        ]

    def _back(self) -> list[tuple[str, str]]:
        """Redis fetches what is restored into it from the runner."""
        return [(self._entries[n], f"{_HERE}:{self._source_port}") for n, p in self._places.items() if p.kind == layout.REDIS]

    def _ask(self, name: str, order: Mapping[str, Any]) -> Any:
        """Ask the machine of a server. Before anything is started there, it is told where the others are."""
        gateway = self._gateway()
        if order["do"] == "launch":
            routes = {
                "do": "routes",
                "routes": self._routes(without=name),
                "origin": self._places[name].region,
                "unless": self._gone.get(name, ""),
            }
            remote.ask(gateway, self._token, self._entries[name], routes)
        return remote.ask(gateway, self._token, self._entries[name], {**order, "unless": self._gone.get(name, "")})

    def _gateway(self) -> Address:
        """Where the gateway listens now."""
        if self._direct:
            host, _, port = self._entries[GATEWAY].rpartition(":")
            return Address(host, int(port))
        return Address(_HERE, self._local_port())

    def _local_port(self) -> int:
        try:
            return int((self.directory / "forward" / forward.PORT).read_text())
        except (OSError, ValueError) as error:
            raise remote.Away("The way into the cluster is not there at the moment.") from error

    # -- how it is made --------------------------------------------------------------------------------------------------------------

    def _server(self, place: layout.Place, directory: Path, recipe: Recipe) -> Any:
        """The name server stays on this machine: it is outside all regions."""
        if place.kind == layout.DNS:
            return Server(place, directory, recipe, self._environment, self._waits)
        return RemoteServer(place, directory, recipe, self._ask, self._delete_pod, self._waits)

    def _service_place(self, drawn: layout.Layout, region: str, service: str) -> layout.Place:
        found = free_place(drawn, region, service)
        self._make_machines({found.name: region})
        self._places[found.name] = found
        self._write_routes(self.directory / "forward")
        self._await_routes()
        return found


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind((_HERE, 0))
        return int(taken.getsockname()[1])


def _why_not_ready(pod: Mapping[str, Any] | None) -> str:
    if pod is None or "deletionTimestamp" in pod["metadata"]:
        return "no pod yet"
    status = pod.get("status") or {}
    conditions: Sequence[Mapping[str, Any]] = status.get("conditions") or []
    if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
        return ""
    waiting = [w for c in status.get("containerStatuses") or [] if (w := (c.get("state") or {}).get("waiting"))]
    unscheduled = [c for c in conditions if c["type"] == "PodScheduled" and c["status"] == "False"]
    words = [f"{w.get('reason', '')} {w.get('message', '')}" for w in waiting] or [str(c.get("message", "")) for c in unscheduled]
    return "; ".join(word.strip()[:200] for word in words) or str(status.get("phase", "Pending"))


def owner(directory: Path) -> str:
    """The machine and the directory that a namespace is of."""
    return f"{machine_of.node()}:{directory}"


def sweep(base: Path, clock: Clock, cluster: Cluster) -> int:
    """Clear every platform whose owner died, and its namespace; only of this machine, below `base`. The number of platforms cleared."""
    cleared = lease.sweep(base, clock)

    def is_gone(owner: str) -> bool:
        node, _, place = owner.partition(":")
        return node == machine_of.node() and Path(place).parent == base.absolute() and not Path(place).exists()

    left = []
    for name, by in placed.cordoned(cluster).items():
        if is_gone(by):
            cluster.open_node(name, placed.CORDONED)
    for namespace in cluster.get("namespaces", "-l", f"{manifests.PLATFORM}=true")["items"]:
        gone = is_gone(str((namespace["metadata"].get("annotations") or {}).get(manifests.OWNER, "")))
        if gone and "deletionTimestamp" not in namespace["metadata"]:
            left.append(namespace["metadata"]["name"])
            cluster.delete("namespace", left[-1])
    return max(cleared, len(left))
