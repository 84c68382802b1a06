"""`drplatform backups` and `keys`: what is in the vault, whether it is whole, and getting data in and out."""

import functools
import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from drplatform.cli import options
from drplatform.engine import backups
from drplatform.environment import Environment, Vault, Where
from drplatform.model import errors, ports
from drplatform.model.backup import BackupKind, Chain, Manifest, chain_at, chain_to, chain_to_sequence

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
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_backups(as_json: bool, where: Where) -> int:
    """List the backups, oldest first. Exit code 1 when a manifest is damaged."""
    listing = backups.Catalogue(_vault(where).repository).read()
    if as_json:
        click.echo(json.dumps({"backups": [_brief(m) for m in listing.manifests], "problems": listing.problems}, indent=2))
    else:
        for manifest in listing.manifests:
            click.echo("{id}  {store:14} {kind:12} {end}  {stored_bytes:>12,} bytes".format(**_brief(manifest)))
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
@click.argument("backup_ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Verify every backup.")
@click.option("--restore", "restoring", is_flag=True, help="Also restore each into a server made for that, and compare (mongodb, redis).")
@vault_options
def verify(backup_ids: tuple[str, ...], everything: bool, restoring: bool, where: Where) -> int:
    """Check every object of the backups: present, unchanged and, with a private key, genuine and readable.

    Exit code 1 when anything is damaged, or does not come back as it was.

    \b
    drplatform backups verify --all
    drplatform backups verify 20261123T1405 --restore
    """
    env = Environment.open(options.settings())
    vault = env.vault(where)
    catalogue = backups.Catalogue(vault.repository)
    listing = catalogue.read()
    chosen = list(listing.manifests) if everything else [catalogue.show(i) for i in backup_ids]
    if not chosen and not listing.problems:
        raise errors.SettingsError("Nothing to verify: name backups, or say --all when there are some.")
    results = [backups.verify(m, vault.repository, vault.opener) for m in chosen]
    for result in results:
        state = "whole" if result.whole else "DAMAGED"
        how = "opened with the key" if result.opened else "checksums only: no private key was given"
        click.secho(
            f"{result.backup}  {state}  {result.objects} objects, {result.stored_bytes:,} bytes, {how}", fg=None if result.whole else "red"
        )
        for problem in result.problems:
            click.echo(f"    {problem}")
    problems = listing.problems if everything else ()
    for problem in problems:
        click.secho(problem, fg="red", err=True)
    damaged = bool(problems) or not all(r.whole for r in results)
    proved = not restoring or damaged or not [m for m in chosen if not _proved(env, vault, m, listing.manifests)]
    return 1 if damaged or not proved else 0


def _proved(env: Environment, vault: Vault, manifest: Manifest, manifests: Iterable[Manifest]) -> bool:
    """Restore the backup into a scratch server, and say what came of it."""
    if vault.opener is None:
        raise errors.KeyUnavailable("A private key is needed to restore; name it with --identity.")
    needed = backups.chain_of(manifest, manifests)
    with env.scratch(manifest.store_kind) as scratch, env.recorded("proof", store=manifest.store, backup=manifest.id) as result:
        proof = backups.prove(needed, scratch, vault.repository, vault.opener, env.clock)
        result.update(proved=proof.proved, reached=str(proof.reached))
    state = "PROVED by a restore" if proof.proved else "NOT what was backed up"
    told = f"{manifest.id}  {state}: {proof.items:,} items at {proof.reached}, {proof.compared} digests compared"
    click.secho(told, fg=None if proof.proved else "red")
    for problem in proof.problems:
        click.echo(f"    {problem}")
    return proof.proved


@group.command()
@click.argument("store")
@click.argument("kind", type=click.Choice(KINDS), default="full")
@click.option("--kind", "named", type=click.Choice(KINDS), help="The same, by name.")
@click.option("--recipient", "recipients", multiple=True, help="An age recipient (age1...).  [default: the one of `keys generate`]")
@click.option(
    "--rate-limit", type=click.FloatRange(min=0, min_open=True), metavar="MB", help="Read at most so many MB a second from the store."
)
@vault_options
def take(store: str, kind: str, named: str | None, recipients: tuple[str, ...], rate_limit: float | None, where: Where) -> int:
    """Take a backup of a STORE (mongodb, redis, files) of the platform, encrypted to the recipients.

    An incremental one holds what changed since the newest full backup, or since the incremental one after it. Exit code 1 when there is
    nothing that it could continue: take a full one.

    \b
    drplatform backups take mongodb full
    drplatform backups take mongodb incremental
    drplatform backups take mongodb full --rate-limit 20
    """
    kind, rate = named or kind, rate_limit * 1_000_000 if rate_limit else None
    env = Environment.open(options.settings())
    env.require_log()
    with env.working(where) as (platform_store, repository):
        source, to = platform_store(store), env.recipients(recipients, where)
        with env.recorded("backup", store=store, backup_kind=kind) as result:
            manifest = backups.back_up(source, BackupKind(kind), repository, to, env.clock, env.random(), rate=rate)
            result.update(backup=manifest.id, bytes=manifest.stored_bytes)
    click.echo(f"{manifest.id}  {manifest.stored_bytes:,} bytes in {len(manifest.chunks)} chunks, consistent as of {manifest.end}")
    return 0


@group.command()
@click.argument("store")
@click.option("--to", help="A moment (2026-11-23T16:00:00Z; UTC) or a position (as `backups operations` shows it).  [default: the latest]")
@click.option("--only", multiple=True, metavar="NAMESPACE", help="Only this collection (app.orders, or app.*), beside what is there.")
@click.option("--rename", multiple=True, metavar="OLD=NEW", help="Under another name: app.orders=app.orders_recovered.")
@click.option("--resume", is_flag=True, help="Go on with a restore of the same recovery point that was cut off.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@vault_options
def restore(store: str, to: str | None, only: tuple[str, ...], rename: tuple[str, ...], resume: bool, yes: bool, where: Where) -> int:
    """Restore a STORE from its backups into the (empty) store of the platform. A store that holds anything is refused.

    A restore of MongoDB that was cut off is gone on with by --resume: what was loaded of the full backup is not loaded again; one that had
    come further begins anew. Two restores at once are refused.

    \b
    drplatform backups restore mongodb
    drplatform backups restore mongodb --to 2026-11-23T16:00:00Z
    drplatform backups restore mongodb --to 1795450435.63
    drplatform backups restore mongodb --only app.orders --rename app.orders=app.orders_recovered

    With --only the store may hold other things, which are not touched; a name that is taken is refused. Views, users and roles are not
    restored this way.
    """
    choice = _choice(only, rename)
    env = Environment.open(options.settings())
    env.require_log()
    vault = env.vault(where)
    if vault.opener is None:
        raise errors.KeyUnavailable("A private key is needed to restore; name it with --identity.")
    listing = backups.Catalogue(vault.repository).read(store)
    if not listing.manifests:
        raise errors.SettingsError(f"There is no backup of {store!r} in {vault.repository.describe()}; see `drplatform backups list`.")
    chosen = chain(listing.manifests, store, to)
    with env.working(where) as (platform_store, repository):
        target = platform_store(store)
        lease = backups.Lease(store, target.identity())
        backups.check_target(target, lease, resume, choice)
        if not yes:
            click.confirm(f"Restore {choice or 'everything'} of backup {chosen.base.id} into {store} {lease.identity}?", abort=True)
        with env.recorded("restore", store=store, target=lease.identity, backup=chosen.base.id) as result:
            end = backups.restore(chosen, target, repository, vault.opener, lease, env.clock, resume=resume, choice=choice)
            result.update(reached=str(end.reached), refused=len(end.refused))
    for refused in end.refused:
        click.secho(f"Not restored: {refused}", fg="red", err=True)
    click.echo(f"{store} is restored to {end.reached}")
    return 1 if end.refused else 0


@group.command()
@click.argument("store")
@click.option("--around", required=True, help="A moment (2026-11-23T16:00:00Z; UTC).")
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), default=5.0, show_default=True, help="How far to look to either side."
)
@click.option("--all", "everything", is_flag=True, help="Every operation, not only those that change collections.")
@vault_options
def operations(store: str, around: str, minutes: float, everything: bool, where: Where) -> int:
    """List what was done to a STORE around a moment, from its captured log: who dropped what, and the position just before it.

    The last column is for `backups restore --to`.
    """
    env = Environment.open(options.settings())
    vault, middle = env.vault(where), moment(around)
    if vault.opener is None:
        raise errors.KeyUnavailable("A private key is needed to read the log; name it with --identity.")
    span = timedelta(minutes=minutes)
    slices = [m for m in backups.Catalogue(vault.repository).read(store).manifests if m.kind is BackupKind.LOG]
    near = [m for m in slices if m.end.at >= (middle - span).timestamp() and m.begin.at <= (middle + span).timestamp()]
    with env.working(where) as (platform_store, repository):
        reader = platform_store(store)
        if not isinstance(reader, ports.LogCapture):
            raise errors.SettingsError(f"{store} has no log.")
        found = [
            o for m in near for block in backups.log_blocks(Chain(m, (), (m,)), repository, vault.opener) for o in reader.operations(block)
        ]
    shown = [o for o in found if everything or o.verb not in ("insert", "update", "delete")]
    for operation in shown:
        before = ".".join(map(str, operation.before.sequence))
        click.echo(f"{datetime.fromtimestamp(operation.at.at, UTC):%Y-%m-%d %H:%M:%S}Z  {operation.verb:16} {operation.subject}  {before}")
    click.echo(f"{len(shown)} of {len(found)} operations in {len(near)} slices of the log.", err=True)
    return 0


def moment(text: str) -> datetime:
    """A moment that a person has written; UTC unless it says otherwise. Raises SettingsError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise errors.SettingsError(f"{text!r} is no moment; write it like 2026-11-23T16:00:00Z.") from None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _choice(only: tuple[str, ...], rename: tuple[str, ...]) -> ports.Choice | None:
    """Raises SettingsError."""
    pairs = [each.partition("=") for each in rename]
    if wrong := [f"{old}{sign}{new}" for old, sign, new in pairs if "." not in old or "." not in new or old not in only]:
        raise errors.SettingsError(
            f"--rename {wrong[0]} is not OLD=NEW with an OLD that --only names; e.g. app.orders=app.orders_recovered."
        )
    if wrong := [name for name in only if "." not in name]:
        raise errors.SettingsError(f"--only {wrong[0]} names no collection; write {wrong[0]}.* for all of a database.")
    return ports.Choice(only, {old: new for old, _, new in pairs}) if only else None


def chain(manifests: Iterable[Manifest], store: str, to: str | None) -> Chain:
    """The chain to a moment or a position that a person has written, or as far as it goes. Raises SettingsError, LogGap."""
    if to is None:
        return chain_to(manifests, store)
    if re.fullmatch(r"\d+(\.\d+)*", to):
        return chain_to_sequence(manifests, store, tuple(map(int, to.split("."))))
    return chain_at(manifests, store, moment(to))


def _brief(manifest: Manifest) -> dict[str, Any]:
    return {
        "id": manifest.id,
        "store": manifest.store,
        "kind": manifest.kind.value,
        "end": str(manifest.end),
        "chunks": len(manifest.chunks),
        "stored_bytes": manifest.stored_bytes,
        "plain_bytes": manifest.plain_bytes,
    }


@click.group()
def keys() -> None:
    """The keys that backups are encrypted to."""


@keys.command()
@click.option("--file", "path", type=options.PATH, help="Where the private key goes.  [default: in drplatform's state directory]")
def generate(path: Path | None) -> int:
    """Make a key pair. Whoever takes backups needs only the public key; keep the private one where no region can take it down."""
    env = Environment.open(options.settings())
    env.require_log()
    public, secret = backups.generate()
    place = path or env.identity_file
    backups.write_identity(place, secret, public)
    env.record_operation("key generated", recipient=public)
    click.echo(f"Public key:  {public}")
    click.echo(f"Private key: in {place}, readable only by you. Without it the backups cannot be opened: keep a copy elsewhere.")
    return 0
