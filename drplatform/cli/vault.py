"""`drplatform backups` and `keys`: what is in the vault, and taking backups."""

import functools
import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from drplatform.cli import options, progress
from drplatform.engine import backups
from drplatform.environment import Environment, Vault, Where
from drplatform.model import errors
from drplatform.model.backup import BackupKind, Chain, Manifest, chain_at, chain_from, chain_to, chain_to_sequence, sealed_at
from drplatform.model.position import Position

KINDS = [kind.value for kind in (BackupKind.FULL, BackupKind.INCREMENTAL, BackupKind.SNAPSHOT)]


def vault_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--config, --repository, --platform-id and --identity, handed to the command as `where`."""

    @functools.wraps(command)
    def wrapped(*, config: Path | None, platform_id: str | None, repository: Path | None, identity: Path | None, **more: Any) -> Any:
        return command(where=Where(config, platform_id, repository, identity), **more)

    for option in (
        click.option("--identity", type=options.PATH, help="An age identity file: opens backups.  [default: the one of `keys generate`]"),
        click.option("--platform-id", help="The platform (of `drplatform platform up`) to work with.  [default: the only one]"),
        click.option("--config", type=options.PATH, envvar="DRPLATFORM_CONFIG", help="A drplatform.yaml with stores, repository and keys."),
        click.option("--repository", type=options.PATH, help="A directory that holds backups.  [default: the vault of the platform]"),
    ):
        wrapped = option(wrapped)
    return wrapped


def _vault(where: Where) -> Vault:
    return Environment.open(options.settings()).vault(where)


@click.group("backups")
def group() -> None:
    """Take, list, check and restore backups.

    \b
    drplatform keys generate
    drplatform platform up
    drplatform backups take mongodb full
    drplatform backups verify --all
    """


@group.command("list")
@vault_options
@options.AS_JSON
def list_backups(as_json: bool, where: Where) -> int:
    """List the backups, oldest first. Exit code 1 when a manifest is damaged."""
    listing = backups.Catalogue(_vault(where).repository).read()
    if as_json:
        click.echo(json.dumps({"backups": [_brief(m) for m in listing.manifests], "problems": listing.problems}, indent=2))
    else:
        for manifest in listing.manifests:
            only = f"  only {', '.join(manifest.scope)}" if manifest.scope else ""
            click.echo("{id}  {store:14} {kind:12} {end}  {stored_bytes:>12,} bytes".format(**_brief(manifest)) + only)
        if not listing.manifests:
            click.echo("There are no backups yet; take one with: drplatform backups take mongodb full")
        for problem in listing.problems:
            click.secho(problem, fg="red", err=True)
    return 1 if listing.problems else 0


@group.command()
@click.argument("backup_id")
@vault_options
def show(backup_id: str, where: Where) -> int:
    """Show the manifest of one backup as JSON. The beginning of an id will do."""
    click.echo(json.dumps(backups.Catalogue(_vault(where).repository).show(backup_id).to_json(), indent=2))
    return 0


@group.command()
@click.argument("store")
@click.argument("kind", type=click.Choice(KINDS), required=False)
@click.option("--kind", "named", type=click.Choice(KINDS), help="The same, by name.")
@click.option("--recipient", "recipients", multiple=True, help="An age recipient (age1...).  [default: the one of `keys generate`]")
@click.option("--only", multiple=True, metavar="NAMESPACE", help="Only this collection of MongoDB (app.orders, or app.*).")
@click.option(
    "--rate-limit", type=click.FloatRange(min=0, min_open=True), metavar="MB", help="Read at most so many MB a second from the store."
)
@options.AS_JSON
@vault_options
def take(
    store: str,
    kind: str | None,
    named: str | None,
    only: tuple[str, ...],
    recipients: tuple[str, ...],
    rate_limit: float | None,
    as_json: bool,
    where: Where,
) -> int:
    """Take a backup of a STORE (mongodb, redis, files) of the platform, encrypted to the recipients.

    Without a kind it is a full one, of Redis a snapshot. An incremental one holds what changed since the newest full backup, or since the
    incremental one after it; of files it needs the private key, to compare with the index of that one. Exit code 1 when there is nothing
    that it could continue: take a full one. With --only it is a partial one, which never stands for a full one: it is restored where
    `backups restore --backup` names it.

    \b
    drplatform backups take mongodb full
    drplatform backups take mongodb incremental
    drplatform backups take redis snapshot
    drplatform backups take mongodb full --rate-limit 20
    drplatform backups take mongodb --only app.orders --only shop.*
    """
    rate = rate_limit * 1_000_000 if rate_limit else None
    namespaces(only)
    env = Environment.open(options.settings())
    env.require_log()
    with env.working(where) as (platform_store, repository):
        source, to = platform_store(store), env.recipients(recipients, where)
        wanted = BackupKind(named or kind or (BackupKind.SNAPSHOT if source.kind == "redis" else BackupKind.FULL))
        opener = env.vault(where).opener if wanted is BackupKind.INCREMENTAL else None
        with env.recorded("backup", store=store, backup_kind=wanted.value) as result:
            last = [m.stored_bytes for m in backups.Catalogue(repository).read(store).manifests if m.kind is wanted and not only]
            with progress.Bytes(f"Backing up {store}", last[-1] if last else 0, env.clock) as meter:
                metered = progress.Metered(repository, meter.add)
                manifest = backups.back_up(
                    source,
                    wanted,
                    metered,
                    to,
                    env.clock,
                    env.random(),
                    rate=rate,
                    opener=opener,
                    only=only,
                    secret_recipients=env.secret_recipients(where),
                )
            result.update(backup=manifest.id, bytes=manifest.stored_bytes)
    holds = f", only {', '.join(manifest.scope)}" if manifest.scope else ""
    text = f"{manifest.id}  {manifest.stored_bytes:,} bytes in {len(manifest.chunks)} chunks, consistent as of {manifest.end}{holds}"
    options.told(as_json, _brief(manifest), text)
    if unread := manifest.counts.get("settings of buckets not readable"):
        click.secho(
            f"{unread} settings of buckets are not in it: the account may not read them; a restore names them.", fg="yellow", err=True
        )
    if manifest.counts.get("users not readable"):
        click.secho("The users (ACL) are not in it: the account may not read them; grant it +acl|list.", fg="yellow", err=True)
    return 0


def namespaces(only: tuple[str, ...]) -> None:
    """Raises SettingsError for what names no collection."""
    if wrong := [name for name in only if "." not in name]:
        raise errors.SettingsError(f"--only {wrong[0]} names no collection; write {wrong[0]}.* for all of a database.")


def moment(text: str) -> datetime:
    """A moment that a person has written; UTC unless it says otherwise. Raises SettingsError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise errors.SettingsError(f"{text!r} is no moment; write it like 2026-11-23T16:00:00Z.") from None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def chain(manifests: Iterable[Manifest], store: str, to: str | None, base: Manifest | None = None) -> Chain:
    """The chain to a moment or a position that a person has written, or as far as it goes. Raises SettingsError, LogGap.

    With `base`: the one that begins with this very backup.
    """
    if base is not None:
        return _chain_from(manifests, base, to)
    if to is None:
        return chain_to(manifests, store)
    if re.fullmatch(r"\d+(\.\d+)*", to):
        return chain_to_sequence(manifests, store, tuple(map(int, to.split("."))))
    return chain_at(manifests, store, moment(to))


def _chain_from(manifests: Iterable[Manifest], base: Manifest, to: str | None) -> Chain:
    known = list(manifests)
    if to is None:
        return chain_from(base, known)
    if re.fullmatch(r"\d+(\.\d+)*", to):
        return chain_from(base, known, Position(base.end.timeline, tuple(map(int, to.split("."))), base.end.at))
    return chain_from(base, known, sealed_at(base, known, moment(to)))


def _brief(manifest: Manifest) -> dict[str, Any]:
    return {
        "id": manifest.id,
        "store": manifest.store,
        "kind": manifest.kind.value,
        "end": str(manifest.end),
        "chunks": len(manifest.chunks),
        "stored_bytes": manifest.stored_bytes,
        "plain_bytes": manifest.plain_bytes,
        **({"only": list(manifest.scope)} if manifest.scope else {}),
    }


@click.group()
def keys() -> None:
    """The keys that backups are encrypted to."""


@keys.command()
@click.option("--file", "path", type=options.PATH, help="Where the private key goes.  [default: in drplatform's state directory]")
@options.AS_JSON
def generate(path: Path | None, as_json: bool) -> int:
    """Make a key pair. Whoever takes backups needs only the public key; keep the private one where no region can take it down."""
    env = Environment.open(options.settings())
    env.require_log()
    public, secret = backups.generate()
    place = path or env.identity_file
    backups.write_identity(place, secret, public)
    env.record_operation("key generated", recipient=public)
    options.told(
        as_json,
        {"public_key": public, "private_key_file": str(place)},
        f"Public key:  {public}",
        f"Private key: in {place}, readable only by you. Without it the backups cannot be opened: keep a copy elsewhere.",
    )
    return 0
