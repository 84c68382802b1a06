"""How machines are reached: by the runner, through a process of its own and the gateway of their cluster; by each other; from another cluster."""

import functools
import itertools
import json
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from drplatform.model import errors
from drplatform.model.ports import Address
from drplatform.platforms.embedded import layout
from drplatform.platforms.embedded.process import ServerProcess, Waits
from drplatform.platforms.kubernetes import doors, forward, manifests, remote
from drplatform.platforms.kubernetes import site as sites
from drplatform.platforms.kubernetes.site import GATEWAY, Site

HERE = "127.0.0.1"
SECONDS_TO_FORWARD = 60.0
SECONDS_TO_RETURN = 30.0
"""For a way that is lost: `forward` notices one that hangs, and opens it again."""


class Ways:
    """Of one platform. `places` are those of all servers, and may grow; `direct`: the runner dials gateways itself, without `kubectl port-forward`."""

    def __init__(
        self, found: Sequence[Site], places: Mapping[str, layout.Place], direct: bool, waits: Waits, environment: Mapping[str, str]
    ) -> None:
        self._sites, self._places, self._direct, self._waits, self._environment = found, places, direct, waits, environment
        self._token, self._beside, self._number = "", Path(), 0
        self._forwarder: ServerProcess | None = None
        self._reached: dict[str, Address] = {}
        self.source_port = 0
        """At which Redis finds here what is restored into it."""

    def open(self, directory: Path, token: str) -> None:
        """Start the process of this machine that takes connections at the addresses of all servers. Raises SettingsError for clusters that do not
        reach each other."""
        self._beside, self._token, self.source_port = directory / "forward", token, _free_port()
        self._beside.mkdir()
        if self._direct:
            self._reached = {site.name: self._dialled(site) for site in self._sites}
        self._forwarder = ServerProcess("forwarder", self._beside, directory, self._environment, self._waits)
        self._write()
        root = str(Path(__file__).parents[3])
        self._forwarder.launch([sys.executable, "-m", "drplatform.platforms.kubernetes.forward", str(self._beside)], {"PYTHONPATH": root})
        self._await()
        for site, other in itertools.permutations(self._sites, 2):
            site.door = doors.find(site, f"pods of {other.name}", functools.partial(self._behind, other), self._waits)

    def renew(self) -> None:
        """There are more places."""
        self._write()
        self._await()

    def close(self) -> None:
        if self._forwarder:
            self._forwarder.kill()

    def ask(self, name: str, order: Mapping[str, Any], unless: str) -> Any:
        """Ask the machine of a server, unless it is in this pod; twice, when it does not answer and the gateway of its cluster did not either.

        Raises Away when that gateway answers, and the machine does not; Unreached when the gateway does not answer for a while. Any order may come twice.
        """
        try:
            return self._asked(name, order, unless)
        except remote.Going:
            raise
        except remote.Away:
            self._await_gateway(sites.of(self._sites, self._places[name].region))
        return self._asked(name, order, unless)

    def _asked(self, name: str, order: Mapping[str, Any], unless: str) -> Any:
        """Before anything is started there, it is told where the others are."""
        site = sites.of(self._sites, self._places[name].region)
        orders = [self._routes(name), order] if order["do"] == "launch" else [order]
        gateway = self._gateway(site)
        return [remote.ask(gateway, self._token, site.entries[name], {**one, "unless": unless}) for one in orders][-1]

    # -- what they are told ----------------------------------------------------------------------------------------------------------

    def _listed(self) -> Iterator[tuple[str, str, int, str, Site]]:
        """Each server's name, its addresses, the entry of its machine, and the site of that."""
        for name, place in self._places.items():
            site = sites.of(self._sites, place.region)
            for port in sorted(set(place.ports.values())):
                yield name, place.host, port, site.entries[name], site

    def _routes(self, name: str) -> Mapping[str, Any]:
        """For a machine: all but its own. Those of another cluster by its gateway."""
        mine = sites.of(self._sites, self._places[name].region)
        return {
            "do": "routes",
            "routes": [
                (host, port, entry, None if site is mine else site.name) for n, host, port, entry, site in self._listed() if n != name
            ],
            "gateways": {site.name: site.door for site in self._sites if site is not mine},
            "origin": self._places[name].region,
        }

    def _back(self) -> list[tuple[str, str, str]]:
        """Redis fetches what is restored into it from the runner."""
        there = {n: sites.of(self._sites, place.region) for n, place in self._places.items() if place.kind == layout.REDIS}
        return [(site.name, site.entries[name], f"{HERE}:{self.source_port}") for name, site in there.items()]

    def _write(self) -> None:
        self._number += 1
        told = {
            "token": self._token,
            "number": self._number,
            "routes": [(host, port, entry, site.name) for _, host, port, entry, site in self._listed()],
            "back": self._back(),
            "gateways": {name: str(address) for name, address in self._reached.items()},
            "commands": {} if self._direct else {site.name: self._forwarding(site) for site in self._sites},
        }
        fresh = self._beside / f"{forward.FILE}.new"
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(told))
        fresh.replace(self._beside / forward.FILE)

    def _forwarding(self, site: Site) -> list[str]:
        return site.cluster.command("port-forward", f"pod/{GATEWAY}-0", "-n", site.namespace, "--address", HERE, f":{manifests.ENTRY}")

    def _await(self) -> None:
        assert self._forwarder
        forwarder, seen = self._forwarder, self._beside / forward.SEEN

        def told() -> bool:
            if not forwarder.alive():
                raise errors.StoreError(f"The way into the cluster has ended: {forwarder.last_words()}")
            return seen.exists() and seen.read_text() == str(self._number)

        self._waits.until("the way into the cluster", told, within=SECONDS_TO_FORWARD)

    # -- gateways --------------------------------------------------------------------------------------------------------------------

    def _gateway(self, site: Site) -> Address:
        """Where that of the site listens now, for the runner."""
        if self._direct:
            return self._reached[site.name]
        try:
            return Address(HERE, int(forward.port(self._beside, site.name).read_text()))
        except (OSError, ValueError) as error:
            raise remote.Away("The way into the cluster is not there at the moment.") from error

    def _await_gateway(self, site: Site) -> None:
        """A way that was lost is opened again before long. Raises Unreached when it is not."""

        def answers() -> bool:
            return remote.ask(self._gateway(site), self._token, "", {"do": "pod"}) is not None

        try:
            self._waits.until("the gateway", answers, within=SECONDS_TO_RETURN, ignoring=(remote.Away,))
        except errors.DeadlineExceeded as error:
            cluster = f"the cluster of {site.name}" if site.name else "the cluster"
            raise remote.Unreached(
                f"The way into {cluster} carries nothing, so nothing is known of its servers; look at kubectl port-forward and the gateway's pod."
            ) from error

    def _dialled(self, site: Site) -> Address:
        """Where the runner dials that of the site: in the network of its cluster or, of two clusters, of their nodes."""
        if len(self._sites) == 1:
            return _address(site.entries[GATEWAY])
        return _address(
            doors.find(site, "this runner", lambda door: remote.ask(_address(door), self._token, "", {"do": "pod"}), self._waits)
        )

    def _behind(self, other: Site, door: str) -> object:
        """The uid of the pod behind the door, to which the gateway of the other site connects."""
        return remote.ask(self._gateway(other), self._token, door, {"do": "pod"})


def _address(told: str) -> Address:
    host, _, port = told.rpartition(":")
    return Address(host, int(port))


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind((HERE, 0))
        return int(taken.getsockname()[1])
