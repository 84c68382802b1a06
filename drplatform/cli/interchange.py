"""`drplatform mongodb`: to and from the directories of the stock tools."""

from pathlib import Path

import click

from drplatform.cli import options, vault
from drplatform.engine import backups
from drplatform.environment import Environment, Where, connect
from drplatform.model import errors, ports
from drplatform.model.backup import BackupKind

_STORE = "mongodb"


@click.group("mongodb")
def group() -> None:
    """Backups of MongoDB to and from the directories of mongodump and mongorestore.

    \b
    drplatform mongodb export dump
    mongorestore --oplogReplay dump
    """


@group.command("export")
@click.argument("directory", type=options.PATH)
@click.option("--to", help="A moment (2026-11-23T16:00:00Z; UTC) or a position.  [default: the latest]")
@vault.vault_options
def export(directory: Path, to: str | None, where: Where) -> int:
    """Write the backups of MongoDB into a new DIRECTORY that stock mongorestore loads, without a server.

    What changed after the full backup is in oplog.bson, so mongorestore needs --oplogReplay. The directory is not encrypted.

    \b
    drplatform mongodb export dump --to 2026-11-23T16:00:00Z
    mongorestore --oplogReplay dump
    """
    env = Environment.open(options.settings())
    env.require_log()
    opened = env.vault(where)
    if opened.opener is None:
        raise errors.KeyUnavailable("A private key is needed to export; name it with --identity.")
    chain = vault.chain(backups.Catalogue(opened.repository).read(_STORE).manifests, _STORE, to)
    target = _directory(env, directory)
    with env.recorded("export", store=_STORE, backup=chain.base.id, directory=str(directory)) as result:
        lease = backups.Lease(_STORE, target.identity())
        end = backups.restore(chain, target, opened.repository, opened.opener, lease, env.clock)
        result.update(reached=str(end.reached))
    click.echo(f"Exported to {directory}, as of {end.reached}; load it with: mongorestore --oplogReplay {directory}")
    return 0


@group.command("import")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--recipient", "recipients", multiple=True, help="An age recipient (age1...).  [default: the one of `keys generate`]")
@vault.vault_options
def import_(directory: Path, recipients: tuple[str, ...], where: Where) -> int:
    """Make a full backup of a DIRECTORY that stock mongodump wrote (with or without --oplog; not gzipped, no archive).

    It begins a history of its own, so it does not go where backups of a server are: a restore of the latest would take it for newer.

    \b
    drplatform mongodb import dump --repository imported
    drplatform backups restore mongodb --repository imported
    """
    env = Environment.open(options.settings())
    env.require_log()
    opened, to = env.vault(where), env.recipients(recipients, where)
    if any(m.identity != _directory(env, directory).identity() for m in backups.Catalogue(opened.repository).read(_STORE).manifests):
        raise errors.SettingsError(f"{opened.repository.describe()} holds backups of another MongoDB; name a new place with --repository.")
    with env.recorded("import", store=_STORE, directory=str(directory)) as result:
        manifest = backups.back_up(_directory(env, directory), BackupKind.FULL, opened.repository, to, env.clock, env.random())
        result.update(backup=manifest.id, bytes=manifest.stored_bytes)
    click.echo(f"{manifest.id}  {manifest.stored_bytes:,} bytes in {len(manifest.chunks)} chunks, consistent as of {manifest.end}")
    return 0


def _directory(env: Environment, directory: Path) -> ports.DataStore:
    return connect(ports.Endpoint(_STORE, (), {"directory": str(directory)}), env.clock)
