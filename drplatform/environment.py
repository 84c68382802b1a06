"""The composition: settings -> Environment.

The only module that names concrete edges, reads the process environment, and makes the system clock and the seeded random generator.
"""

import getpass
import importlib
import os
import pkgutil
import platform as machine
import random
import secrets
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import yaml

import drplatform
from drplatform import application
from drplatform import faults as fault_folder
from drplatform.engine import agent as agents
from drplatform.engine import attest, audit, backups, drill, monitor, moves, phrases, schedule
from drplatform.engine.alerting import Alerting
from drplatform.engine.audit import AuditLog
from drplatform.engine.backups import pruning
from drplatform.engine.killswitch import KillSwitch
from drplatform.engine.kit import Keys, Kit
from drplatform.model import compliance, config, errors, evidence, policy, ports, retention, strategy, timeline
from drplatform.model import drill as drills
from drplatform.model.backup import BackupKind
from drplatform.model.clock import Clock
from drplatform.model.evidence import Evidence
from drplatform.model.secret import Secret
from drplatform.platforms import embedded
from drplatform.reports import allure as allure_report
from drplatform.reports import documents, html, json, metrics

PLATFORMS = ("embedded", "docker")
IMAGE = "drplatform-servers"
"""The image of servers that `drplatform platform images build` makes."""
PATH_OPTIONS = ("directory", "kubeconfig", "tls_ca", "tls_certificate", "tls_key")
"""Options of endpoints that are paths."""
PlatformStatus = embedded.Status


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def utc(self) -> datetime:
        return datetime.now(UTC)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds)


@dataclass(frozen=True)
class Settings:
    """What a face was told, the process environment filling in the rest.

    `state` holds what outlives a run (audit log, keys); `scratch` is where platforms and runs lie; `servers` maps a server's name to
    its program.
    """

    platform: str = "embedded"
    policy: Path | None = None
    seed: int | None = None
    reports: Path = Path("reports")
    state: Path = Path()
    scratch: Path = Path()
    servers: Mapping[str, str] = field(default_factory=dict)
    operator: str = ""
    image: str = IMAGE
    """Of the servers, on platforms that run containers."""
    sign_off: Callable[[], str] = lambda: ""
    """Asks who has looked at critical functionality when the services are back."""

    @classmethod
    def read(cls, variables: Mapping[str, str] | None = None, **told: Any) -> "Settings":
        """Settings from DRPLATFORM_* variables; what was told (and is not None) wins. Raises SettingsError."""
        variables = os.environ if variables is None else variables
        home = Path(variables.get("XDG_STATE_HOME") or Path.home() / ".local/state")
        found: dict[str, Any] = {
            "state": Path(variables.get("DRPLATFORM_STATE") or home / "drplatform"),
            "scratch": Path(variables.get("DRPLATFORM_SCRATCH") or tempfile.gettempdir()) / f"drplatform-{os.getuid()}",
            "servers": {s: variables[name] for s in ("mongod", "redis-server", "weed") if (name := _variable(s)) in variables},
            "operator": variables.get("DRPLATFORM_OPERATOR") or _user(),
            "image": variables.get("DRPLATFORM_IMAGE") or IMAGE,
        }
        for name in ("platform", "policy", "seed", "reports"):
            if value := variables.get(f"DRPLATFORM_{name.upper()}"):
                found[name] = _converted(name, value)
        found.update({name: value for name, value in told.items() if value is not None})
        settings = cls(**found)
        if settings.platform not in PLATFORMS:
            raise errors.SettingsError(f"There is no platform {settings.platform!r}; known are {', '.join(PLATFORMS)}.")
        return settings


def _variable(server: str) -> str:
    return "DRPLATFORM_" + server.upper().replace("-", "_")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _converted(name: str, value: str) -> object:
    if name == "seed":
        if not value.isdigit():
            raise errors.SettingsError(f"DRPLATFORM_SEED must be a whole number, not {value!r}.")
        return int(value)
    return value if name == "platform" else Path(value)


def _docker() -> Any:
    """The Docker platform: imported where it is used, with the engine's client."""
    return importlib.import_module("drplatform.platforms.docker")


def build_image(context: Path, tag: str, base: str, network: str) -> None:
    """Build the image of the servers for the Docker platform. Raises SettingsError."""
    _docker().build(context, os.environ, tag, base, network)


def load_policy(path: Path | None) -> policy.Policy:
    """The policy in the file, or the one that comes with drplatform. Raises PolicyError."""
    try:
        text = path.read_text() if path else resources.files(drplatform).joinpath("policy.yaml").read_text()
        return policy.parse(yaml.safe_load(text))
    except (OSError, UnicodeDecodeError) as error:
        raise errors.PolicyError(f"{path} cannot be read ({error})") from error
    except yaml.YAMLError as error:
        raise errors.PolicyError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    except errors.PolicyError as error:
        first, *others = error.problems
        raise errors.PolicyError([f"{path or 'the default policy'}: {first}", *others]) from error


def fault_kinds() -> tuple[str, ...]:
    """The faults there are, by their file names."""
    return tuple(sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(fault_folder.__path__) if not m.name.startswith("_")))


def fault(kind: str) -> Callable[..., ports.Fault]:
    """The class of a fault: `servers-lost` is in drplatform.faults.servers_lost."""
    if kind not in fault_kinds():
        raise errors.SettingsError(f"There is no fault {kind!r}; known are {', '.join(fault_kinds())}.")
    found: Callable[..., ports.Fault] = importlib.import_module(f"drplatform.faults.{kind.replace('-', '_')}").FAULT
    return found


def connect(endpoint: ports.Endpoint, clock: Clock) -> ports.DataStore:
    """The store at the endpoint: `kind: postgres` is in drplatform.stores.postgres."""
    try:
        module = importlib.import_module(f"drplatform.stores.{endpoint.kind}")
    except ModuleNotFoundError as error:
        raise errors.SettingsError(f"There is no store of kind {endpoint.kind!r}.") from error
    store: ports.DataStore = module.connect(endpoint, clock)
    return store


def traffic(server: ports.NameServer, clock: Clock) -> ports.Traffic:
    """The public names at the name server: `kind: rfc2136` is in drplatform.traffic.rfc2136."""
    found: ports.Traffic = importlib.import_module(f"drplatform.traffic.{server.kind}").connect(server, clock)
    return found


def repository(place: ports.Endpoint | Path, clock: Clock) -> ports.Repository:
    """The repository at an S3 endpoint, or in a directory."""
    name = "directory" if isinstance(place, Path) else "s3"
    found: ports.Repository = importlib.import_module(f"drplatform.repositories.{name}").open(place, clock)
    return found


def read_feature(path: Path) -> tuple[drills.Scenario, ...]:
    """The scenarios of a feature file. Raises PlanError or SettingsError."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.SettingsError(f"The feature {path} cannot be read ({error}).") from error
    return phrases.read_feature(text, str(path), fault)


@dataclass(frozen=True)
class Environment:
    """Everything that a face needs. Make one with `Environment.open`."""

    settings: Settings
    clock: Clock
    policy: policy.Policy
    seed: int

    @classmethod
    def open(cls, settings: Settings) -> "Environment":
        """Read everything that can be wrong before anything is started."""
        seed = secrets.randbelow(2**31) if settings.seed is None else settings.seed
        return cls(settings, SystemClock(), load_policy(settings.policy), seed)

    @property
    def audit(self) -> AuditLog:
        return AuditLog(self.settings.state / "audit.jsonl")

    def require_records(self) -> None:
        """Make sure, before anything is touched, that what is done can be recorded and reported. Raises SettingsError."""
        self.require_log()
        try:
            self.settings.reports.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise errors.SettingsError(f"{error.filename} cannot be written ({error.strerror}); choose another --reports.") from error

    def require_log(self) -> None:
        """Make sure that an operation can be recorded. Raises SettingsError."""
        try:
            self.audit.ready()
        except OSError as error:
            raise errors.SettingsError(f"{error.filename} cannot be written ({error.strerror}); set DRPLATFORM_STATE.") from error
        except errors.IntegrityError as error:
            raise errors.SettingsError(
                f"{error} Nothing is done that could not be recorded after it: keep {self.audit.path} as evidence, and move it aside."
            ) from error

    def kill_switch(self) -> KillSwitch:
        """Pulled, it interrupts this process as Ctrl-C does, so that everything heals on the way out."""
        return KillSwitch(self.settings.state / "stop.json", lambda: os.kill(os.getpid(), signal.SIGINT))

    def platform(self, wanted: frozenset[str] = frozenset()) -> ports.Platform:
        """A platform of its own for one run; enter it to start it. `wanted`: see `drill.Steady`; what it cannot have, the plan says."""
        if self.settings.platform == "docker":
            made: ports.Platform = _docker().DockerPlatform.open_engine(
                self.clock, self.settings.scratch, os.environ, wanted, self.settings.image
            )
            return made
        return embedded.EmbeddedPlatform.create(self.clock, self.settings.scratch, self.settings.servers, os.environ, wanted)

    def sweep(self) -> int:
        """Clear what killed runs have left behind; the number of platforms cleared."""
        if self.settings.platform == "docker":
            return int(_docker().sweep(self.settings.scratch, self.clock))
        return embedded.sweep(self.settings.scratch, self.clock)

    def up(self, wanted: frozenset[str] = frozenset()) -> embedded.Status:
        """Start a platform that stays. `wanted`: see `drill.Steady`."""
        self.sweep()
        status = embedded.up(self.clock, self.settings.scratch, self.settings.servers, os.environ, wanted)
        if drills.NAMES in wanted:
            with self.moving(status.id, lambda event: None) as moving:
                moving.name_all()
        return status

    def statuses(self) -> list[embedded.Status]:
        return embedded.statuses(self.clock, self.settings.scratch)

    @contextmanager
    def scratch(self, kind: str) -> Iterator[ports.DataStore]:
        """A new, empty server of that kind on this machine, gone afterwards. Raises SettingsError for a kind that has none."""
        self.sweep()
        with embedded.scratch(kind, self.clock, self.settings.scratch, self.settings.servers, os.environ) as endpoint:
            store = connect(endpoint, self.clock)
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
        return {s.name: connect(e, self.clock) for s in self.policy.stores.values() if (e := self._endpoint(platform, s.kind))}

    def _configuration(self, platform: ports.Platform) -> dict[str, ports.DataStore]:
        """A directory of configuration of the run's own, where the policy has such a store and the platform has no server for it."""
        found = [s for s in self.policy.stores.values() if s.kind == "configuration" and not self._endpoint(platform, s.kind)]
        directory = platform.directory / "configuration"
        for _ in found:
            directory.mkdir(exist_ok=True)
        return {s.name: connect(ports.Endpoint(s.kind, options={"directory": str(directory)}), self.clock) for s in found}

    def _endpoint(self, platform: ports.Platform, kind: str) -> ports.Endpoint | None:
        has = any(region.of(kind) for region in platform.regions)
        return platform.endpoint(kind) if has else None

    @contextmanager
    def drill(self, scenario: drills.Scenario, listener: timeline.Listener = lambda event: None) -> Iterator[drill.Drill]:
        """A drill of the scenario on a platform of its own, planned and ready to perform its activities.

        On leaving, clients are stopped, faults healed, the platform removed.
        """
        prepared = self.platform(scenario.wanted)
        self.require_records()
        self.sweep()
        generator = random.Random(self.seed)
        run_id = f"{self.clock.utc():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        with self.kill_switch().obeyed(self.clock), prepared as platform:
            directory = platform.directory / "run"  # below the platform's own, so that a sweep clears it too
            directory.mkdir()
            stores = {**self.stores(platform), **self._configuration(platform)}
            try:
                plan = drills.plan(scenario, self.policy, self.seed, drill.offered(platform, stores, fault_kinds()))
                self.record_operation(audit.DRILL_BEGUN, id=run_id, scenario=scenario.name, seed=self.seed, policy=self.policy.hash)
                with drill.Drill(plan, self._kit(platform, stores, generator, directory, listener), run_id) as running:
                    yield running
            finally:
                for store in stores.values():
                    store.close()

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
        return Kit(
            platform=platform,
            stores=stores,
            repository=repository(platform.vault(), self.clock),
            keys=drill_keys(),
            connect=lambda endpoint: connect(endpoint, self.clock),
            faults=fault,
            policy=self.policy,
            clock=self.clock,
            random=generator,
            directory=directory,
            operator=self.settings.operator,
            versions=versions(stores) if asked else {},
            listener=listener,
            application=lambda endpoints: application.connect(endpoints, self.clock),
            sign_off=self.settings.sign_off,
            traffic=traffic(platform.names(), self.clock) if isinstance(platform, ports.Named) and platform.named else None,
        )

    def random(self) -> random.Random:
        return random.Random(self.seed)

    @property
    def identity_file(self) -> Path:
        """Where `keys generate` puts the private key."""
        return self.settings.state / "keys" / "identity.txt"

    def signing_key(self) -> Secret:
        """The key that signs evidence on this machine; made at its first use, with the public one beside it."""
        file = self.settings.state / "keys" / "signing.pem"
        if not file.exists():
            public, private = attest.generate()
            with suppress(FileExistsError):  # another run was first
                backups.write_private(file, private)
                self.record_operation("signing key made", public=public.decode())
        key = Secret(file.read_text())
        documents.write_whole(self.signing_public, attest.public_of(key))
        return key

    @property
    def signing_public(self) -> Path:
        """The public key for auditors."""
        return self.settings.state / "keys" / "signing.pub"

    def verified_log(self, path: Path | None = None) -> list[dict[str, Any]]:
        """The records of an audit log, by default this machine's. Raises IntegrityError when one was changed, moved or removed."""
        if path and not path.is_file():
            raise errors.SettingsError(f"There is no audit log {path}; name the audit.jsonl of the machine that ran the drills.")
        log = AuditLog(path) if path else self.audit
        records = log.read()
        evidence.verify_chain(records)
        return records

    def assessment(self) -> compliance.Assessment:
        """What the evidence in this machine's audit log says of the strategy, now. Raises IntegrityError when the log was tampered with."""
        records = self.verified_log()
        return compliance.assess(strategy.CLAUSES, records, self.policy, self.clock.utc(), audit.unfinished(records))

    def signed_evidence(self, file: Path, public_keys: tuple[Path, ...] = ()) -> dict[str, Any]:
        """The record in a signed file. Raises IntegrityError when it is not as it was signed by one of the keys (default: our own)."""
        try:
            trusted = [path.read_bytes() for path in public_keys or (self.signing_public,)]
            return attest.read(file.read_bytes(), trusted)
        except OSError as error:
            raise errors.SettingsError(f"{error.filename} cannot be read ({error.strerror}).") from error
        except errors.IntegrityError as error:
            raise errors.IntegrityError(f"{file}: {error}") from error

    def recipients(self, told: tuple[str, ...], where: "Where") -> tuple[str, ...]:
        """The recipients told, or those of the configuration, or the public key of the identity file."""
        configured = self.configured(where)
        if found := told or (configured.recipients if configured else ()):
            return found
        if not self.identity_file.exists():
            raise errors.SettingsError("Backups are encrypted: name a --recipient, or make a key pair with: drplatform keys generate")
        return tuple(backups.public(secret) for secret in backups.read_identities(self.identity_file))

    def configured(self, where: "Where") -> config.Config | None:
        """The configuration file's content, when one is named. Raises SettingsError."""
        if where.config is None:
            return None
        try:
            return config.parse(yaml.safe_load(where.config.read_text()))
        except (OSError, UnicodeDecodeError) as error:
            raise errors.SettingsError(f"The configuration {where.config} cannot be read ({error}).") from error
        except yaml.YAMLError as error:
            raise errors.SettingsError(f"{where.config} is no YAML: {' '.join(str(error).split())}") from error
        except errors.SettingsError as error:
            raise errors.SettingsError(f"{where.config}: {error}") from error

    def unresolved(self, where: "Where") -> Iterator[str]:
        """The secrets of the configuration that are not where it says, in words."""
        configured = self.configured(where)
        assert configured
        places = {f"stores.{name}": place for name, place in configured.stores.items()}
        if not isinstance(configured.repository, str):
            places["repository"] = configured.repository
        named = {path: place.password for path, place in places.items() if place.password}
        named |= {f"alerts.{way.kind}.{name}": ref for way in configured.alerts for name, ref in way.secrets.items()}
        for path, ref in named.items():
            try:
                _secret(ref, where)
            except errors.SettingsError as error:
                yield f"{path}: {error}"

    def vault(self, where: "Where") -> "Vault":
        """The backups of the directory, of the configuration, or of a platform made by hand; with keys when there are some."""
        configured = self.configured(where)
        file = where.identity or (where.beside(configured.identity) if configured and configured.identity else None)
        file = file or (self.identity_file if self.identity_file.exists() else None)
        opener = backups.Opener(backups.read_identities(file)) if file else None
        return Vault(repository(self._vault_place(where, configured), self.clock), opener)

    def _vault_place(self, where: "Where", configured: config.Config | None) -> ports.Endpoint | Path:
        if where.repository:
            return where.repository
        if configured is None:
            return self.attached(where.platform_id).vault()
        if isinstance(configured.repository, str):
            return where.beside(configured.repository)
        return _endpoint(configured.repository, where)

    @contextmanager
    def working(self, where: "Where") -> Iterator[tuple[Callable[[str], ports.DataStore], ports.Repository]]:
        """The stores of the configuration, or of a platform made by hand, by name, and the repository to work with."""
        configured = self.configured(where)
        stores = self._configured_stores(configured, where) if configured else self.stores(self.attached(where.platform_id))

        def store(name: str) -> ports.DataStore:
            if name not in stores:
                raise errors.SettingsError(f"There is no store {name!r} here; known are {', '.join(stores)}.")
            return stores[name]

        try:
            yield store, repository(self._vault_place(where, configured), self.clock)
        finally:
            for one in stores.values():
                one.close()

    def _configured_stores(self, configured: config.Config, where: "Where") -> dict[str, ports.DataStore]:
        return {name: connect(_endpoint(place, where), self.clock) for name, place in configured.stores.items()}

    def agent(self, where: "Where", tell: Callable[[str], object]) -> agents.Agent:
        """The agent of a configuration. Reads everything that can be wrong before anything runs. Raises SettingsError."""
        configured = self.configured(where)
        if configured is None:
            raise errors.SettingsError("The agent needs a configuration: name it with --config, or set DRPLATFORM_CONFIG.")
        self.require_log()
        stores = self._configured_stores(configured, where)
        recipients, place = self.recipients((), where), repository(self._vault_place(where, configured), self.clock)
        jobs = schedule.plan(self.policy, frozenset(BackupKind) - {BackupKind.LOG}).jobs
        own = [job for job in jobs if not job.stores or set(job.stores) <= stores.keys()]
        captured = {store: monitor.base_kind(self.policy, store) for job in own if job.is_continuous for store in job.stores}
        duties = agents.Duties(
            policy=self.policy,
            stores=stores,
            captured=captured,
            jobs=own,
            perform=lambda job: self._perform(job, stores, place, recipients, where),
            repository=place,
            recipients=recipients,
            clock=self.clock,
            random=self.random(),
            alerting=Alerting(self._alert_ways(configured, where), self.settings.state / "alerts.json", tell),
            records=self.audit.read,
            holder=f"{machine.node()}-{os.getpid()}-{secrets.token_hex(4)}",
            tell=tell,
            capacity=configured.capacity,
        )
        return agents.Agent(duties)

    def _perform(
        self, job: schedule.Job, stores: Mapping[str, ports.DataStore], place: ports.Repository, recipients: tuple[str, ...], where: "Where"
    ) -> None:
        """One job of the schedule, recorded. Raises what goes wrong."""
        match job.arguments:
            case ("backups", "take", store, kind):
                with self.recorded("backup", store=store, backup_kind=kind) as result:
                    made = backups.back_up(stores[store], BackupKind(kind), place, recipients, self.clock, self.random())
                    result.update(backup=made.id, bytes=made.stored_bytes)
            case ("backups", "prune", *_):
                self._prune(place)
            case ("backups", "verify", *_):
                self._verify(self.vault(where))
            case unknown:
                raise errors.SettingsError(f"The agent does not know how to do {' '.join(unknown)}.")

    def _prune(self, place: ports.Repository) -> None:
        listing = backups.Catalogue(place).read()
        plan = retention.prune(listing.manifests, self.policy, self.clock.utc())
        rubbish = pruning.garbage(listing.manifests, listing.problems, place, self.clock.utc())
        with self.recorded("prune", backups=[m.id for m in plan.delete], garbage=len(rubbish.keys)):
            pruning.apply(plan, place)
            pruning.collect(rubbish, place)
        if plan.refused:
            raise errors.IntegrityError("; ".join(f"{store}: nothing is deleted; {why}" for store, why in plan.refused.items()))

    def _verify(self, vault: "Vault") -> None:
        listing = backups.Catalogue(vault.repository).read()
        with self.recorded("verification", backups=len(listing.manifests)) as result:
            results = [backups.verify(m, vault.repository, vault.opener) for m in listing.manifests]
            result["problems"] = [*listing.problems, *(f"{r.backup}: {p}" for r in results for p in r.problems)][:100]
        if result["problems"]:
            raise errors.IntegrityError(f"{len(result['problems'])} backups are damaged, first {result['problems'][0]}")

    def _alert_ways(self, configured: config.Config, where: "Where") -> list[ports.Alerts]:
        found = []
        for way in configured.alerts:
            told = {name: _secret(ref, where) for name, ref in way.secrets.items()}
            options = {name: str(where.beside(value)) if name == "file" else value for name, value in way.options.items()}
            found.append(importlib.import_module(f"drplatform.alerts.{way.kind}").connect(options, told, self.clock))
        return found

    def metrics(self, agent: agents.Agent) -> tuple[str, bytes]:
        """The page for Prometheus: its content type, and its text. Empty before the agent has looked."""
        if agent.observed is None:
            return metrics.CONTENT_TYPE, b""
        firing = agent.duties.alerting.firing
        return metrics.CONTENT_TYPE, metrics.page(agent.observed, self.policy, firing, agent.failures, agent.performed)

    def record_operation(self, kind: str, **detail: Any) -> None:
        """Note an operation on backups in the audit log: who, what, when."""
        self.audit.append({"kind": kind, "who": self.settings.operator, "when": self.clock.utc().isoformat(), **detail})

    @contextmanager
    def recorded(self, kind: str, **detail: Any) -> Iterator[dict[str, Any]]:
        """An operation with its beginning and end in the audit log. What cannot be recorded does not run.

        What is put into the dictionary is noted at the end.
        """
        self.record_operation(f"{kind} begun", **detail)
        found: dict[str, Any] = {}
        try:
            yield found
        except BaseException as error:
            self.record_operation(f"{kind} failed", **detail, error=f"{type(error).__name__}: {error}")
            raise
        self.record_operation(f"{kind} done", **detail, **found)

    def record(self, evidence: Evidence) -> dict[str, Any]:
        """Append the evidence to the audit log; the record with its place in the chain."""
        return self.audit.append(evidence.to_json())

    def report(self, evidence: Evidence, record: Mapping[str, Any], *, allure: bool = True) -> dict[str, Path]:
        """Write the reports below the reports directory; the file (or, for Allure, directory) to open, by format.

        Without `allure` where allure-pytest writes the results of the same run.
        """
        directory = self.settings.reports / evidence.id
        written = {"html": html.write(evidence, directory, record), "json": json.write(evidence, directory, record)}
        written["signed"] = documents.write_whole(
            directory / documents.file_name(evidence, ".dsse.json"), attest.sign(record, self.signing_key())
        )
        if allure:
            written["allure"] = allure_report.write(evidence, self.settings.reports / "allure-results", record)
        return written


@dataclass(frozen=True)
class Where:
    """Which stores and backups a command works with: those of a configuration file, else those of a platform made by hand."""

    config: Path | None = None
    platform_id: str | None = None
    repository: Path | None = None
    identity: Path | None = None

    def beside(self, name: str) -> Path:
        """A path of the configuration, which is relative to where the configuration lies."""
        return self.config.parent / name if self.config else Path(name)


def _endpoint(place: config.Place, where: Where) -> ports.Endpoint:
    """Raises SettingsError when a secret is not where the configuration says."""
    credentials = ports.Credentials(place.user, _secret(place.password, where)) if place.password else None
    paths = {name: str(where.beside(value)) for name, value in place.options.items() if name in PATH_OPTIONS}
    return ports.Endpoint(place.kind, place.addresses, {**place.options, **paths}, credentials)


def _secret(named: config.SecretRef, where: Where) -> Secret:
    if named.source == "env":
        if not os.environ.get(named.name):
            raise errors.SettingsError(f"The variable {named.name}, which should hold a password, is not set.")
        return Secret(os.environ[named.name])
    try:
        return Secret(where.beside(named.name).read_text().rstrip("\n"))
    except (OSError, UnicodeDecodeError) as error:
        raise errors.SettingsError(
            f"The file {named.name}, which should hold a password, cannot be read ({type(error).__name__})."
        ) from None


def drill_keys() -> Keys:
    """A key pair for one drill, never written anywhere."""
    recipient, identity = backups.generate()
    return Keys((recipient,), (identity,))


@dataclass(frozen=True)
class Vault:
    """Where backups lie, and what opens them (None: nothing does here)."""

    repository: ports.Repository
    opener: backups.Opener | None


def versions(stores: Mapping[str, ports.DataStore]) -> dict[str, str]:
    """What ran: drplatform, Python, the machine, and each server."""
    return {
        "drplatform": drplatform.__version__,
        "python": machine.python_version(),
        "system": machine.platform(),
        **{name: metadata.version(name) for name in ("pymongo", "redis", "boto3", "cryptography", "pyrage", "zstandard")},
        **{name: store.version() for name, store in stores.items()},
    }
