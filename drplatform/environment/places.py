"""Which stores, backups and keys a command works with."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import yaml

from drplatform.engine import archive, attest, backups
from drplatform.engine.agent import Replica
from drplatform.environment import edges
from drplatform.environment.platforms import Platforms
from drplatform.environment.settings import load_policy
from drplatform.model import config, errors, ports
from drplatform.model.secret import Secret
from drplatform.stores import kubernetes

PATH_OPTIONS = ("directory", "kubeconfig", "tls_ca", "tls_certificate", "tls_key")
"""Options of endpoints that are paths."""


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


@dataclass(frozen=True)
class Vault:
    """Where backups lie, and what opens them (None: nothing does here)."""

    repository: ports.Repository
    opener: backups.Opener | None


@dataclass(frozen=True)
class Places(Platforms):
    """The stores and backups of a configuration file, or of a platform made by hand."""

    def recipients(self, told: tuple[str, ...], where: Where) -> tuple[str, ...]:
        """The recipients told, or those of the configuration, or the public key of the identity file."""
        configured = self.configured(where)
        if found := told or (configured.recipients if configured else ()):
            return found
        if not self.identity_file.exists():
            raise errors.SettingsError("Backups are encrypted: name a --recipient, or make a key pair with: drplatform keys generate")
        return tuple(backups.public(secret) for secret in backups.read_identities(self.identity_file))

    def secret_recipients(self, where: Where) -> tuple[str, ...]:
        """Those of the configuration, for the secrets alone; none: secrets are for all recipients."""
        configured = self.configured(where)
        return configured.secret_recipients if configured else ()

    def configured(self, where: Where) -> config.Config | None:
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

    def under(self, where: Where) -> Self:
        """The same under the policy that the configuration names; one that was told (--policy, DRPLATFORM_POLICY) goes before. Raises PolicyError."""
        configured = self.configured(where)
        if configured is None or not configured.policy or self.settings.policy is not None:
            return self
        file = where.beside(configured.policy)
        return replace(self, settings=replace(self.settings, policy=file), policy=load_policy(file))

    def unresolved(self, where: Where) -> Iterator[str]:
        """The secrets of the configuration that are not where it says, in words."""
        configured = self.configured(where)
        assert configured
        places = {f"stores.{name}": place for name, place in configured.stores.items()}
        places |= {f"replicas.{name}": place for name, place in configured.replicas.items()}
        if not isinstance(configured.repository, str):
            places["repository"] = configured.repository
        named = {path: place.password for path, place in places.items() if place.password}
        named |= {f"alerts.{way.kind}.{name}": ref for way in configured.alerts for name, ref in way.secrets.items()}
        for path, ref in named.items():
            try:
                self.secret(ref, where)
            except errors.SettingsError as error:
                yield f"{path}: {error}"

    def vault(self, where: Where) -> Vault:
        """The backups of the directory, of the configuration, or of a platform made by hand; with keys when there are some."""
        configured = self.configured(where)
        file = self._identity(where, configured)
        repository = edges.repository(self._vault_place(where, configured), self.clock)
        return Vault(repository, backups.Ring(backups.read_identities(file), repository) if file else None)

    def log_archive(self, where: Where) -> archive.Archive:
        """The audit logs and signed evidence that the vault keeps."""
        return archive.Archive(self.vault(where).repository)

    def keep_evidence(self, where: Where) -> archive.Kept:
        """Bring what is new of this machine's audit log, and its signed evidence, into the vault. Not recorded itself: there would never be an end."""
        key = self.signing_key()
        return self.log_archive(where).keep(self.verified_log, lambda record: attest.sign(record, key))

    def _identity(self, where: Where, configured: config.Config | None) -> Path | None:
        """The file of the private key that is used here, if any is."""
        file = where.identity or (where.beside(configured.identity) if configured and configured.identity else None)
        return file or (self.identity_file if self.identity_file.exists() else None)

    def _vault_place(self, where: Where, configured: config.Config | None) -> ports.Endpoint | Path:
        if where.repository:
            return where.repository
        if configured is None:
            return self.attached(where.platform_id).vault()
        if isinstance(configured.repository, str):
            return where.beside(configured.repository)
        return self._reached(configured.repository, where)

    @contextmanager
    def replicas(self, where: Where) -> Iterator[dict[str, Replica]]:
        """The replicas that the configuration names, by store. Raises SettingsError without a configuration."""
        configured = self.configured(where)
        if configured is None:
            raise errors.SettingsError("Replicas are named in a configuration: say which with --config, or set DRPLATFORM_CONFIG.")
        found = self._replicas(configured, where)
        try:
            yield found
        finally:
            for one in found.values():
                one.store.close()

    def _replicas(self, configured: config.Config, where: Where) -> dict[str, Replica]:
        return {
            name: Replica(
                edges.connect(self._reached(place, where), self.clock), str(configured.stores[name].addresses[0]), str(place.addresses[0])
            )
            for name, place in configured.replicas.items()
        }

    @contextmanager
    def working(self, where: Where) -> Iterator[tuple[Callable[[str], ports.DataStore], ports.Repository]]:
        """The stores of the configuration, or of a platform made by hand, by name, and the repository to work with."""
        configured = self.configured(where)
        stores = self._configured_stores(configured, where) if configured else self.stores(self.attached(where.platform_id))

        def store(name: str) -> ports.DataStore:
            if name not in stores:
                raise errors.SettingsError(f"There is no store {name!r} here; known are {', '.join(stores)}.")
            return stores[name]

        try:
            yield store, edges.repository(self._vault_place(where, configured), self.clock)
        finally:
            for one in stores.values():
                one.close()

    def _configured_stores(self, configured: config.Config, where: Where) -> dict[str, ports.DataStore]:
        return {name: edges.connect(self._reached(place, where), self.clock) for name, place in configured.stores.items()}

    def _reached(self, place: config.Place, where: Where) -> ports.Endpoint:
        """Raises SettingsError when a secret is not where the configuration says."""
        credentials = ports.Credentials(place.user, self.secret(place.password, where)) if place.password else None
        paths = {name: str(where.beside(value)) for name, value in place.options.items() if name in PATH_OPTIONS}
        return ports.Endpoint(place.kind, place.addresses, {**place.options, **paths}, credentials)

    def secret(self, named: config.SecretRef, where: Where) -> Secret:
        """Of a cluster: the one that DRPLATFORM_KUBECONFIG and DRPLATFORM_CONTEXT name, else the pod's. Raises SettingsError."""
        if named.source == "kubernetes":
            kubeconfig = str(self.settings.kubeconfig) if self.settings.kubeconfig else ""
            return kubernetes.secret(kubeconfig, self.settings.context, named.name, self.clock)
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
