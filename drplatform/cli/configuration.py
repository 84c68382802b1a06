"""`drplatform configuration`: what changed between two backups of configuration, or since one; what is in one; what a cluster would refuse."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from drplatform.cli import options, vault
from drplatform.engine import backups
from drplatform.engine.backups import reading
from drplatform.environment import Environment, Vault, Where
from drplatform.model import errors
from drplatform.model.backup import Manifest
from drplatform.model.ports import DataStore, Inspectable, Rehearsable, Verifiable

STORES = ("kubernetes", "configuration")


@click.group("configuration")
def group() -> None:
    """Look into backups of configuration: manifests, environment, secrets. The values of secrets are never shown.

    \b
    drplatform configuration diff 20260101T010000Z 20260102T010000Z
    drplatform configuration diff 20260102T010000Z
    """


@group.command()
@click.argument("before")
@click.argument("after", required=False)
@options.AS_JSON
@vault.vault_options
def diff(before: str, after: str | None, as_json: bool, where: Where) -> int:
    """Tell what changed from backup BEFORE to backup AFTER, or to what is there now. Exit code 1 when something did.

    Of what may be secret it is told that it changed, not what it is. Secrets that were sealed for another key than those given are not
    compared, which is said; then the exit code is 1 when something else changed, and 2 when nothing did.
    """
    with _looking(before, where) as look:
        other = look.other(after) if after else None
        sealed = look.sealed(look.manifest, *([other] if other else ()))
        changes = look.inspectable.differences(look.parts(), look.parts(other) if other else None, sealed)
    if as_json:
        click.echo(json.dumps([change.to_json() for change in changes], indent=2))
    else:
        for change in changes:
            click.echo(str(change))
        among = " among what was compared" if sealed else ""
        click.echo(f"{len(changes)} differences{among}" if changes else f"No difference{among}.")
    if sealed:
        click.secho(
            f"Not compared: {', '.join(sorted(sealed))}. They were sealed for keys of their own; put such a key into the identity file, too.",
            fg="yellow",
            err=True,
        )
    return 1 if changes else 2 if sealed else 0


@group.command()
@click.argument("backup")
@click.option("--to", "directory", type=options.PATH, help="Write the files below this directory, which must be new or empty.")
@vault.vault_options
def show(backup: str, directory: Path | None, where: Where) -> int:
    """List what is in a BACKUP; with --to, write it as YAML that `kubectl apply` reads. Secrets are left out: they come back by a restore alone."""
    with _looking(backup, where) as look:
        documents = look.inspectable.documents(look.parts())
    if directory:
        _write(directory, documents)
        click.echo(f"{len(documents)} files are in {directory}")
    else:
        for path in documents:
            click.echo(path)
    return 0


@group.command()
@click.argument("backup")
@vault.vault_options
def check(backup: str, where: Where) -> int:
    """Have the server check every object of a BACKUP with its own validation, changing nothing. Exit code 1 when it would refuse something."""
    with _looking(backup, where) as look:
        if not isinstance(look.store, Rehearsable):
            raise errors.SettingsError(
                f"There is no server that could check a backup of {look.manifest.store}; restore it into a directory."
            )
        refused = look.store.rehearse(look.parts())
    for sentence in refused:
        click.secho(sentence, fg="red")
    click.echo(f"{len(refused)} objects would be refused" if refused else "Everything would be taken.")
    return 1 if refused else 0


@group.command()
@vault.vault_options
def health(where: Where) -> int:
    """Tell what is wrong with the cluster: its API, nodes, system pods, name service, storage classes. Exit code 1 when something is."""
    env = Environment.open(options.settings())
    with env.working(where) as (platform_store, _):
        store = platform_store("kubernetes")
        defects = store.validate() if isinstance(store, Verifiable) else []
    for defect in defects:
        click.secho(defect, fg="red")
    click.echo(f"{len(defects)} defects" if defects else "The cluster is healthy.")
    return 1 if defects else 0


@dataclass(frozen=True)
class _Look:
    """A backup, the store that it is of, and what opens it."""

    manifest: Manifest
    store: DataStore
    vault: Vault

    def parts(self, manifest: Manifest | None = None) -> list[reading.Part]:
        """Of this backup, or of another one of the same store."""
        return reading.parts(manifest or self.manifest, self.vault.repository, self._opener)

    def sealed(self, *manifests: Manifest) -> frozenset[str]:
        """The sections of one of the backups that the given keys do not open."""
        return frozenset[str]().union(*(reading.sealed(manifest, self._opener) for manifest in manifests))

    @property
    def _opener(self) -> backups.Opener:
        if self.vault.opener is None:
            raise errors.KeyUnavailable("A private key is needed to look into a backup; name it with --identity.")
        return self.vault.opener

    def other(self, backup: str) -> Manifest:
        found = backups.Catalogue(self.vault.repository).show(backup)
        if found.store != self.manifest.store:
            raise errors.SettingsError(
                f"Backup {found.id} is of {found.store}, {self.manifest.id} of {self.manifest.store}; compare like with like."
            )
        return found

    @property
    def inspectable(self) -> Inspectable:
        if not isinstance(self.store, Inspectable):
            raise errors.SettingsError(f"Backups of {self.manifest.store} cannot be looked into.")
        return self.store


@contextmanager
def _looking(backup: str, where: Where) -> Iterator[_Look]:
    env = Environment.open(options.settings())
    found = env.vault(where)
    manifest = backups.Catalogue(found.repository).show(backup)
    if manifest.store not in STORES:
        raise errors.SettingsError(f"Backup {manifest.id} is of {manifest.store}; this command is for {' and '.join(STORES)}.")
    with env.working(where) as (platform_store, _):
        yield _Look(manifest, platform_store(manifest.store), found)


def _write(directory: Path, documents: Mapping[str, str]) -> None:
    """Raises SettingsError when the directory holds something: old files among new ones would be applied with them."""
    if directory.exists() and any(directory.iterdir()):
        raise errors.SettingsError(f"{directory} is not empty; name a new directory.")
    for name, content in documents.items():
        if not all(step not in ("", ".", "..") for step in name.split("/")):
            raise errors.IntegrityError(f"The path {name!r} of the backup leads out of the directory; do not trust this backup.")
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
