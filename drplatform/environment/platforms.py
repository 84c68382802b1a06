"""The platforms that drills run on: one for a run, one made by hand, or a single scratch server."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from drplatform.environment import clusters, edges
from drplatform.environment.records import Records
from drplatform.environment.settings import NAMESPACES, NETWORKS, PROXIES
from drplatform.model import errors, ports
from drplatform.platforms import embedded

PlatformStatus = embedded.Status


@dataclass(frozen=True)
class Platforms(Records):
    """The platforms that drills run on: of their own for a run, made by hand, or a single scratch server."""

    def platform(self, wanted: frozenset[str] = frozenset()) -> ports.Platform:
        """A platform of its own for one run; enter it to start it. `wanted`: see `drill.Steady`; what it cannot have, the plan says."""
        if self.settings.platform == "docker":
            made: ports.Platform = edges.docker().DockerPlatform.open_engine(
                self.clock, self.settings.scratch, os.environ, wanted, self.settings.image
            )
            return made
        if self.settings.platform == "kubernetes":
            settings = self.settings
            in_cluster: ports.Platform = edges.kubernetes().KubernetesPlatform.open_cluster(
                self.clock,
                settings.scratch,
                os.environ,
                wanted,
                settings.image,
                str(settings.kubeconfig or ""),
                settings.contexts,
                settings.in_cluster,
            )
            return in_cluster
        return self._embedded(wanted).create(self.clock, self.settings.scratch, self.settings.servers, os.environ, wanted)

    def _embedded(self, wanted: frozenset[str]) -> type[embedded.EmbeddedPlatform]:
        """In network namespaces where faults of the network are planned that these can do, and the machine can have them."""
        network = self.settings.network
        if network not in NETWORKS:
            raise errors.SettingsError(f"DRPLATFORM_NETWORK is {network!r}; it may be {', '.join(NETWORKS)}.")
        hows = embedded.hindered(wanted)
        if not hows or network == PROXIES:
            return embedded.EmbeddedPlatform
        refused = embedded.refused(hows)
        if refused and network == NAMESPACES:
            raise errors.SettingsError(f"There can be no network namespaces ({refused}); set DRPLATFORM_NETWORK=proxies, or leave it out.")
        return embedded.EmbeddedPlatform if refused else embedded.NamespacedPlatform

    def sweep(self) -> int:
        """Clear what killed runs have left behind; the number of platforms cleared."""
        if self.settings.platform == "docker":
            return int(edges.docker().sweep(self.settings.scratch, self.clock))
        if self.settings.platform == "kubernetes":
            kubernetes = edges.kubernetes()
            kubeconfig = str(self.settings.kubeconfig or "")
            found = [kubernetes.Cluster(kubeconfig, context, os.environ) for context in self.settings.contexts.values()]
            return int(kubernetes.sweep(self.settings.scratch, self.clock, found))
        return embedded.sweep(self.settings.scratch, self.clock)

    def statuses(self) -> list[embedded.Status]:
        return embedded.statuses(self.clock, self.settings.scratch)

    @contextmanager
    def scratch(self, kind: str) -> Iterator[ports.DataStore]:
        """A new, empty server of that kind on this machine, gone afterwards. Raises SettingsError for a kind that has none."""
        self.sweep()
        with embedded.scratch(kind, self.clock, self.settings.scratch, self.settings.servers, os.environ) as endpoint:
            store = edges.connect(endpoint, self.clock)
            try:
                yield store
            finally:
                store.close()

    def down(self, platform_id: str | None) -> str:
        """Stop and remove a platform that was started by hand; its id."""
        return embedded.down(self.clock, self.settings.scratch, platform_id)

    def attached(self, platform_id: str | None) -> ports.Platform:
        """A platform that was started by hand; entering and leaving it starts and stops nothing."""
        return embedded.attach(self.clock, self.settings.scratch, self.settings.servers, os.environ, platform_id)

    def stores(self, platform: ports.Platform) -> dict[str, ports.DataStore]:
        """The policy's stores that the platform has."""
        return {s.name: edges.connect(e, self.clock) for s in self.policy.stores.values() if (e := self._endpoint(platform, s.kind))}

    def cluster(self, namespaces: Iterable[str]) -> dict[str, ports.DataStore]:
        """The store of these namespaces of the cluster that was named by its kubeconfig; nothing when none was."""
        return clusters.store(self.settings, self.clock, ",".join(sorted({name for name in namespaces if name})))

    def _configuration(self, platform: ports.Platform) -> dict[str, ports.DataStore]:
        """A directory of configuration of the run's own, where the policy has such a store and the platform has no server for it."""
        found = [s for s in self.policy.stores.values() if s.kind == "configuration" and not self._endpoint(platform, s.kind)]
        directory = platform.directory / "configuration"
        for _ in found:
            directory.mkdir(exist_ok=True)
        return {s.name: edges.connect(ports.Endpoint(s.kind, options={"directory": str(directory)}), self.clock) for s in found}

    def _endpoint(self, platform: ports.Platform, kind: str) -> ports.Endpoint | None:
        has = any(region.of(kind) for region in platform.regions)
        return platform.endpoint(kind) if has else None
