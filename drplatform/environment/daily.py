"""The agent that takes the backups of every day, put together."""

import importlib
import os
import platform as machine
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from drplatform.engine import agent as agents
from drplatform.engine import backups, monitor, schedule
from drplatform.engine.alerting import Alerting
from drplatform.engine.backups import holds, pruning
from drplatform.environment import edges, expiries
from drplatform.environment.places import Places, Vault, Where
from drplatform.model import config, errors, ports, retention
from drplatform.model.backup import BackupKind
from drplatform.reports import metrics


@dataclass(frozen=True)
class Daily(Places):
    """The agent of a configuration, put together."""

    def agent(self, where: Where, tell: Callable[[str], object]) -> agents.Agent:
        """The agent of a configuration. Reads everything that can be wrong before anything runs. Raises SettingsError."""
        configured = self.configured(where)
        if configured is None:
            raise errors.SettingsError("The agent needs a configuration: name it with --config, or set DRPLATFORM_CONFIG.")
        self.require_log()
        stores = self._configured_stores(configured, where)
        recipients, place = self.recipients((), where), edges.repository(self._vault_place(where, configured), self.clock)
        own = schedule.plan(self.policy, frozenset(BackupKind) - {BackupKind.LOG}, stores.keys()).jobs
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
            expiries=lambda: expiries.all_of(configured, where.beside(""), self._identity(where, configured)),
            replicas=self._replicas(configured, where),
        )
        return agents.Agent(duties)

    def _perform(
        self, job: schedule.Job, stores: Mapping[str, ports.DataStore], place: ports.Repository, recipients: tuple[str, ...], where: Where
    ) -> None:
        """One job of the schedule, recorded. Raises what goes wrong."""
        match job.arguments:
            case ("backups", "take", store, kind):
                with self.recorded("backup", store=store, backup_kind=kind) as result:
                    opener = self.vault(where).opener
                    made = backups.back_up(
                        stores[store],
                        BackupKind(kind),
                        place,
                        recipients,
                        self.clock,
                        self.random(),
                        opener=opener,
                        secret_recipients=self.secret_recipients(where),
                    )
                    result.update(backup=made.id, bytes=made.stored_bytes)
            case ("backups", "prune", *_):
                self._prune(place)
            case ("evidence", "keep"):
                self.keep_evidence(where)
            case ("backups", "verify", *_):
                self._verify(self.vault(where))
            case unknown:
                raise errors.SettingsError(f"The agent does not know how to do {' '.join(unknown)}.")

    def _prune(self, place: ports.Repository) -> None:
        listing = backups.Catalogue(place).read()
        held = holds.held(place)
        plan = retention.prune(listing.manifests, self.policy, self.clock.utc(), held)
        rubbish = pruning.garbage(listing.manifests, listing.problems, place, self.clock.utc())
        with self.recorded("prune", backups=[m.id for m in plan.delete], garbage=len(rubbish.keys)):
            pruning.apply(plan, place, held=held)
            pruning.collect(rubbish, place)
        if plan.refused:
            raise errors.IntegrityError("; ".join(f"{store}: nothing is deleted; {why}" for store, why in plan.refused.items()))

    def _verify(self, vault: Vault) -> None:
        listing = backups.Catalogue(vault.repository).read()
        with self.recorded("verification", backups=len(listing.manifests)) as result:
            results = [backups.verify(m, vault.repository, vault.opener) for m in listing.manifests]
            result["problems"] = [*listing.problems, *(f"{r.backup}: {p}" for r in results if not r.gone for p in r.problems)][:100]
        if result["problems"]:
            raise errors.IntegrityError(f"{len(result['problems'])} backups are damaged, first {result['problems'][0]}")

    def _alert_ways(self, configured: config.Config, where: Where) -> list[ports.Alerts]:
        found = []
        for way in configured.alerts:
            told = {name: self.secret(ref, where) for name, ref in way.secrets.items()}
            options = {name: str(where.beside(value)) if name == "file" else value for name, value in way.options.items()}
            found.append(importlib.import_module(f"drplatform.alerts.{way.kind}").connect(options, told, self.clock))
        return found

    def metrics(self, agent: agents.Agent) -> tuple[str, bytes]:
        """The page for Prometheus: its content type, and its text. Empty before the agent has looked."""
        if agent.observed is None:
            return metrics.CONTENT_TYPE, b""
        firing = agent.duties.alerting.firing
        return metrics.CONTENT_TYPE, metrics.page(agent.observed, self.policy, firing, agent.failures, agent.performed)
