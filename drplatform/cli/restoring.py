"""`drplatform backups restore`, and finding the moment to restore to."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from drplatform.cli import options, progress
from drplatform.cli.vault import chain, moment, namespaces, vault_options
from drplatform.engine import backups
from drplatform.environment import Environment, Where
from drplatform.model import errors, ports
from drplatform.model.backup import BASES, BackupKind, Chain, Manifest


@click.command()
@click.argument("store")
@click.option("--to", help="A moment (2026-11-23T16:00:00Z; UTC) or a position (as `backups operations` shows it).  [default: the latest]")
@click.option("--only", multiple=True, metavar="NAMESPACE", help="Only this collection (app.orders, or app.*), beside what is there.")
@click.option("--rename", multiple=True, metavar="OLD=NEW", help="Under another name: app.orders=app.orders_recovered.")
@click.option("--backup", "backup_id", help="Begin with this full or partial backup.  [default: the newest full one before that moment]")
@click.option("--resume", is_flag=True, help="Go on with a restore of the same recovery point that was cut off.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.AS_JSON
@vault_options
def restore(
    store: str,
    to: str | None,
    only: tuple[str, ...],
    rename: tuple[str, ...],
    backup_id: str | None,
    resume: bool,
    yes: bool,
    as_json: bool,
    where: Where,
) -> int:
    """Restore a STORE from its backups into the (empty) store of the platform. A store that holds anything is refused.

    A restore of MongoDB that was cut off is gone on with by --resume, in the data, the indexes or the log; one that was cut off in an
    increment or a change of collections begins anew, and so does one of Redis or of files, or with --only. Objects that are there already are not written
    again by `drplatform files restore`. Two restores at once are refused.

    \b
    drplatform backups restore mongodb
    drplatform backups restore mongodb --to 2026-11-23T16:00:00Z
    drplatform backups restore mongodb --to 1795450435.63
    drplatform backups restore mongodb --only app.orders --rename app.orders=app.orders_recovered
    drplatform backups restore mongodb --backup 20261123T1405

    With --only the store may hold other things, which are not touched; a name that is taken is refused. Views, users and roles are not
    restored this way. With --backup it begins with this very backup, and without --to ends with it; a partial one (of `backups take --only`)
    is restored beside what is there.
    """
    if not backup_id:
        _choice(only, rename)
    env = Environment.open(options.settings())
    env.require_log()
    vault = env.vault(where)
    if vault.opener is None:
        raise errors.KeyUnavailable("A private key is needed to restore; name it with --identity.")
    listing = backups.Catalogue(vault.repository).read(store)
    if not listing.manifests:
        raise errors.SettingsError(f"There is no backup of {store!r} in {vault.repository.describe()}; see `drplatform backups list`.")
    base = _base(vault.repository, store, backup_id) if backup_id else None
    choice = _choice(only or (base.scope if base else ()), rename)
    chosen = chain(listing.manifests, store, to, base)
    with env.working(where) as (platform_store, repository):
        target = platform_store(store)
        lease = backups.Lease(store, target.identity())
        backups.check_target(target, lease, resume, choice)
        if not yes:
            when = f" as of {to}" if to else ""
            options.agree(f"Restore {choice or 'everything'} of backup {chosen.base.id}{when} into {store} {lease.identity}?")
        with env.recorded("restore", store=store, target=lease.identity, backup=chosen.base.id) as result:
            size = sum(m.stored_bytes for m in chosen.backups)
            with progress.Bytes(f"Restoring {store}", 2 * size, env.clock) as meter:  # each chunk is checked first, then loaded
                metered = progress.Metered(repository, meter.add)
                end = backups.restore(
                    chosen, target, metered, vault.opener, lease, env.clock, resume=resume, choice=choice, loaded=meter.add
                )
            result.update(reached=str(end.reached), refused=len(end.refused), left=len(end.left))
    for refused in end.refused:
        click.secho(f"Not restored: {refused}", fg="red", err=True)
    for left in end.left:
        click.secho(f"Left as it is: {left}", fg="yellow", err=True)
    told = {"refused": list(end.refused), "left": list(end.left)}
    document = {"store": store, "reached": str(end.reached), "backup": chosen.base.id, **told}
    options.told(as_json, document, f"{store} is restored to {end.reached}")
    return 1 if end.refused or end.left else 0


def log_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where to look in a log, and what to tell of it."""
    for option in (
        vault_options,
        options.AS_JSON,
        click.option("--all", "everything", is_flag=True, help="Every operation, not only those that change collections."),
        click.option(
            "--minutes", type=click.FloatRange(min=0, min_open=True), default=5.0, show_default=True, help="How far to look to either side."
        ),
        click.option("--around", required=True, help="A moment (2026-11-23T16:00:00Z; UTC)."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("store")
@log_options
def operations(store: str, **more: Any) -> int:
    """List what was done to a STORE around a moment, from its captured log: who dropped what, and the position just before it.

    The last column is for `backups restore --to`.
    """
    return list_operations(store, **more)


def list_operations(store: str, around: str, minutes: float, everything: bool, as_json: bool, where: Where) -> int:
    """The body of the command `operations`."""
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
    rows = [
        {
            "at": f"{datetime.fromtimestamp(o.at.at, UTC):%Y-%m-%d %H:%M:%S}Z",
            "verb": o.verb,
            "subject": o.subject,
            "before": ".".join(map(str, o.before.sequence)),
        }
        for o in shown
    ]
    options.told(as_json, {"operations": rows}, *("{at}  {verb:16} {subject}  {before}".format(**row) for row in rows))
    click.echo(f"{len(shown)} of {len(found)} operations in {len(near)} slices of the log.", err=True)
    return 0


def _base(repository: ports.Repository, store: str, backup_id: str) -> Manifest:
    """Raises SettingsError."""
    found = backups.Catalogue(repository).show(backup_id)
    if found.store != store or found.kind not in BASES | {BackupKind.PARTIAL}:
        raise errors.SettingsError(f"{found.id} is a {found.kind.value} backup of {found.store}; name a full or a partial one of {store}.")
    return found


def _choice(only: tuple[str, ...], rename: tuple[str, ...]) -> ports.Choice | None:
    """Raises SettingsError."""
    namespaces(only)
    pairs = [each.partition("=") for each in rename]
    if wrong := [f"{old}{sign}{new}" for old, sign, new in pairs if "." not in old or "." not in new or old not in only]:
        raise errors.SettingsError(
            f"--rename {wrong[0]} is not OLD=NEW with an OLD that --only names; e.g. app.orders=app.orders_recovered."
        )
    return ports.Choice(only, {old: new for old, _, new in pairs}) if only else None
