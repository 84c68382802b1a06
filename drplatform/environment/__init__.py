"""The composition: settings -> Environment.

The only package that names concrete edges, reads the process environment, and makes the system clock and the seeded random generator.
"""

import os
import random
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from drplatform import application
from drplatform.engine import audit, backups, capabilities, drill, moves
from drplatform.engine.killswitch import KillSwitch
from drplatform.engine.kit import Keys, Kit
from drplatform.environment import apart, clusters, edges, interrupts
from drplatform.environment.daily import Daily
from drplatform.environment.edges import (
    build_image,
    connect,
    fault,
    fault_kinds,
    kind_down,
    kind_up,
    read_feature,
    repository,
    traffic,
    versions,
)
from drplatform.environment.guarding import guard, require_clusters
from drplatform.environment.places import Vault, Where
from drplatform.environment.platforms import PlatformStatus
from drplatform.environment.settings import IMAGE, PLATFORMS, Settings, SystemClock, by_region, load_policy
from drplatform.environment.stopping import StopCondition
from drplatform.model import drill as drills
from drplatform.model import errors, ports, timeline
from drplatform.model.clock import Bound
from drplatform.model.evidence import Evidence
from drplatform.platforms import embedded

__all__ = [
    "IMAGE",
    "PLATFORMS",
    "Concluded",
    "Environment",
    "PlatformStatus",
    "Settings",
    "StopCondition",
    "SystemClock",
    "Vault",
    "Where",
    "build_image",
    "by_region",
    "connect",
    "drill_keys",
    "fault",
    "fault_kinds",
    "guard",
    "kind_down",
    "kind_up",
    "load_policy",
    "read_feature",
    "repository",
    "traffic",
    "versions",
]


@dataclass(frozen=True)
class Concluded:
    """What is left of a drill: its record, its reports by format, and, in words, what the vault keeps of it (empty: no vault is configured)."""

    record: Mapping[str, Any]
    reports: Mapping[str, Path]
    kept: str


@dataclass(frozen=True)
class Environment(Daily):
    """Everything that a face needs. Make one with `Environment.open`."""

    @classmethod
    def open(cls, settings: Settings) -> "Environment":
        """Read everything that can be wrong before anything is started."""
        seed = secrets.randbelow(2**31) if settings.seed is None else settings.seed
        return cls(settings, SystemClock(), load_policy(settings.policy), seed)

    def kill_switch(self) -> KillSwitch:
        """Pulled, it interrupts this process as Ctrl-C does, so that everything heals on the way out.

        A shell that puts a command into the background may have it ignore that signal; here it is heard again.
        """
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
            polite = signal.getsignal(signal.SIGTERM)
            signal.signal(signal.SIGINT, polite if callable(polite) else signal.default_int_handler)
        return KillSwitch(self.settings.state / "stop.json", lambda: os.kill(os.getpid(), signal.SIGINT))

    def bound(self) -> Bound:
        """Ends what hangs, in the main thread."""
        return interrupts.Bounding(self.clock, self.settings.patience)

    def up(self, wanted: frozenset[str] = frozenset()) -> embedded.Status:
        """Start a platform that stays. `wanted`: see `drill.Steady`."""
        self.sweep()
        status = embedded.up(self.clock, self.settings.scratch, self.settings.servers, os.environ, wanted)
        if drills.NAMES in wanted:
            with self.moving(status.id, lambda event: None) as moving:
                moving.name_all()
        return status

    @contextmanager
    def drill(self, scenario: drills.Scenario, listener: timeline.Listener = lambda event: None) -> Iterator[drill.Drill]:
        """A drill of the scenario on a platform of its own, planned and ready to perform its activities.

        On leaving, also by a polite kill or a stop condition, clients are stopped, faults healed, the platform removed.
        """
        prepared = self.platform(scenario.wanted)
        require_clusters(self.settings, self.clock, scenario, prepared)
        self.require_records()
        if self.settings.config:
            self.log_archive(Where(config=self.settings.config))  # a configuration that is wrong is told before anything is touched
        self.sweep()
        generator = random.Random(self.seed)
        run_id = f"{self.clock.utc():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        with (
            interrupts.heard(),
            StopCondition(self.settings.stop_when_fails).obeyed(self.clock, self.kill_switch().interrupt),
            self.kill_switch().obeyed(self.clock),
            prepared as platform,
            clusters.cluster(self.settings, self.clock, scenario, platform) as clustered,
        ):
            directory = platform.directory / "run"  # below the platform's own, so that a sweep clears it too
            directory.mkdir()
            stores = {**self.stores(platform), **self._configuration(platform), **clustered}
            try:
                plan = drills.plan(scenario, self.policy, self.seed, capabilities.offered(platform, stores, edges.fault_kinds()))
                self.record_operation(audit.DRILL_BEGUN, id=run_id, scenario=scenario.name, seed=self.seed, policy=self.policy.hash)
                with drill.Drill(plan, self._kit(platform, stores, generator, directory, listener), run_id) as running:
                    yield running
            finally:
                for store in stores.values():
                    store.close()

    def conclude(self, evidence: Evidence, *, allure: bool = True) -> Concluded:
        """Record the evidence, report it, and keep it in the vault of the configuration that DRPLATFORM_CONFIG names, when it names one.

        A vault that is away makes no verdict worse: what was not kept is told, and kept by the next drill or `evidence keep`.
        """
        record = self.record(evidence)
        return Concluded(record, self.report(evidence, record, allure=allure), self._kept())

    def _kept(self) -> str:
        if self.settings.config is None:
            return ""
        try:
            kept = self.keep_evidence(Where(config=self.settings.config))
        except errors.DrplatformError as error:
            return f"NOT KEPT IN THE VAULT: {error} When it is mended: drplatform evidence keep"
        return f"The vault keeps the audit log {kept.log}: {kept.records} records."

    @contextmanager
    def moving(
        self,
        platform_id: str | None,
        listener: timeline.Listener,
        approve: Callable[[Mapping[str, float | None]], bool] = lambda costs: True,
    ) -> Iterator[moves.Moving]:
        """Moves between the regions of a platform made by hand, each noted before its first step. Raises SettingsError."""
        platform = self.attached(platform_id)
        stores = self.stores(platform)
        kit = self._kit(platform, stores, self.random(), platform.directory, listener, asked=False)
        kit = replace(kit, keys=Keys(self.recipients((), Where()), ())) if self.identity_file.exists() else kit
        moving = moves.Moving(kit, timeline.Timeline(self.clock, listener), tuple(stores), approve, self.recorded)
        try:
            yield moving
        finally:
            moving.close()
            for store in stores.values():
                store.close()

    def _kit(
        self,
        platform: ports.Platform,
        stores: Mapping[str, ports.DataStore],
        generator: random.Random,
        directory: Path,
        listener: timeline.Listener,
        *,
        asked: bool = True,
    ) -> Kit:
        """`asked`: every server is asked for its version; not where some may be down."""
        keys = drill_keys()
        return Kit(
            platform=platform,
            stores=stores,
            repository=edges.repository(platform.vault(), self.clock),
            keys=keys,
            connect=lambda endpoint: edges.connect(endpoint, self.clock),
            faults=edges.fault,
            policy=self.policy,
            clock=self.clock,
            random=generator,
            directory=directory,
            operator=self.settings.operator,
            versions=edges.versions(stores) if asked else {},
            listener=listener,
            bound=self.bound(),
            application=lambda endpoints: application.connect(endpoints, self.clock),
            sign_off=self.settings.sign_off,
            apart=lambda endpoint: apart.RestoreApart(
                endpoint, platform.vault(), keys.identities, directory / f"restore-{endpoint.kind}-{secrets.token_hex(3)}"
            ),
            identity=lambda document: edges.identity(platform.vault(), document, self.clock),
            traffic=edges.traffic(platform.names(), self.clock) if isinstance(platform, ports.Named) and platform.named else None,
        )


def drill_keys() -> Keys:
    """A key pair for one drill, never written anywhere."""
    recipient, identity = backups.generate()
    return Keys((recipient,), (identity,))
