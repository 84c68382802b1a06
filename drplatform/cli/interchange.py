"""`drplatform mongodb` and `drplatform redis`: to and from the directories of the stock tools and servers; the log of MongoDB."""

from pathlib import Path
from typing import Any

import click

from drplatform.cli import options, restoring, vault
from drplatform.engine import backups
from drplatform.environment import Environment, Where, connect
from drplatform.model import errors, ports
from drplatform.model.backup import BackupKind

NEW_DIRECTORY = click.argument("directory", type=options.PATH)
DIRECTORY = click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
TO = click.option("--to", help="A moment (2026-11-23T16:00:00Z; UTC) or a position.  [default: the latest]")
USERS = "users.acl"
"""Where an export of Redis has the users, if there are any."""

RECIPIENTS = click.option(
    "--recipient", "recipients", multiple=True, help="An age recipient (age1...).  [default: the one of `keys generate`]"
)


@click.group("mongodb")
def mongodb() -> None:
    """Backups of MongoDB to and from the directories of mongodump and mongorestore, and what its log tells.

    \b
    drplatform mongodb operations --around 2026-11-23T16:00:00Z
    drplatform mongodb export dump
    mongorestore --oplogReplay dump
    """


@mongodb.command("export")
@NEW_DIRECTORY
@TO
@vault.vault_options
def export_mongodb(directory: Path, to: str | None, where: Where) -> int:
    """Write the backups of MongoDB into a new DIRECTORY that stock mongorestore loads, without a server.

    What changed after the full backup is in oplog.bson, so mongorestore needs --oplogReplay. The directory is not encrypted.

    \b
    drplatform mongodb export dump --to 2026-11-23T16:00:00Z
    mongorestore --oplogReplay dump
    """
    end = _export("mongodb", directory, {}, to, where)
    click.echo(f"Exported to {directory}, as of {end.reached}; load it with: mongorestore --oplogReplay {directory}")
    return 0


@mongodb.command("import")
@DIRECTORY
@RECIPIENTS
@vault.vault_options
def import_mongodb(directory: Path, recipients: tuple[str, ...], where: Where) -> int:
    """Make a full backup of a DIRECTORY that stock mongodump wrote (with or without --oplog; not gzipped, no archive).

    It begins a history of its own, so it does not go where backups of a server are: a restore of the latest would take it for newer.

    \b
    drplatform mongodb import dump --repository imported
    drplatform backups restore mongodb --repository imported
    """
    return _import("mongodb", BackupKind.FULL, directory, recipients, where)


@mongodb.command("operations")
@restoring.log_options
def operations_of_mongodb(**more: Any) -> int:
    """List who dropped what around a moment, and the position just before it. The same as `backups operations mongodb`.

    \b
    drplatform mongodb operations --around 2026-11-23T16:00:00Z
    drplatform backups restore mongodb --to 1795450435.63
    """
    return restoring.list_operations("mongodb", **more)


@click.group("redis")
def redis() -> None:
    """Backups of Redis to and from the files of a server: its RDB file and append-only file.

    \b
    drplatform redis export data
    redis-server --dir data --appendonly yes
    """


@redis.command("export")
@NEW_DIRECTORY
@TO
@click.option("--single-file", is_flag=True, help="One appendonly.aof, as Redis 6 reads it, not the parts of Redis 7 and Valkey.")
@vault.vault_options
def export_redis(directory: Path, to: str | None, single_file: bool, where: Where) -> int:
    """Write the backups of Redis into an empty DIRECTORY that a stock server starts from, without a server.

    Until it is complete, a server refuses to start from it, instead of starting empty. Exit code 1 when something was left out. The files
    are not encrypted.

    \b
    drplatform redis export data --to 2026-11-23T16:00:00Z
    redis-server --dir data --appendonly yes
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    end = _export("redis", directory, {"aof": "single"} if single_file else {}, to, where)
    for refused in end.refused:
        click.secho(f"Not restored: {refused}", fg="red", err=True)
    for left in end.left:
        click.secho(f"Left out: {left}", fg="yellow", err=True)
    users = f" --aclfile {(directory / USERS).absolute()}" if (directory / USERS).exists() else ""
    click.echo(f"Exported to {directory}, as of {end.reached}; start it with: redis-server --dir {directory} --appendonly yes{users}")
    return 1 if end.refused or end.left else 0


@redis.command("import")
@DIRECTORY
@RECIPIENTS
@vault.vault_options
def import_redis(directory: Path, recipients: tuple[str, ...], where: Where) -> int:
    """Make a snapshot of the DIRECTORY of a Redis server that does not run: its RDB file and append-only file.

    A torn end of the append-only file is left out and said, never passed over silently. It begins a history of its own, so it does not go
    where backups of a server are.

    \b
    drplatform redis import /var/lib/redis --repository imported
    drplatform backups restore redis --repository imported
    """
    return _import("redis", BackupKind.SNAPSHOT, directory, recipients, where)


def _export(store: str, directory: Path, more: dict[str, str], to: str | None, where: Where) -> ports.RestoreEnd:
    env = Environment.open(options.settings())
    env.require_log()
    opened = env.vault(where)
    if opened.opener is None:
        raise errors.KeyUnavailable("A private key is needed to export; name it with --identity.")
    chain = vault.chain(backups.Catalogue(opened.repository).read(store).manifests, store, to)
    target = _directory(env, store, directory, more)
    with env.recorded("export", store=store, backup=chain.base.id, directory=str(directory)) as result:
        lease = backups.Lease(store, target.identity())
        end = backups.restore(chain, target, opened.repository, opened.opener, lease, env.clock)
        result.update(reached=str(end.reached))
    return end


def _import(store: str, kind: BackupKind, directory: Path, recipients: tuple[str, ...], where: Where) -> int:
    env = Environment.open(options.settings())
    env.require_log()
    opened, to = env.vault(where), env.recipients(recipients, where)
    source = _directory(env, store, directory, {})
    if any(m.identity != source.identity() for m in backups.Catalogue(opened.repository).read(store).manifests):
        raise errors.SettingsError(f"{opened.repository.describe()} holds backups of another {store}; name a new place with --repository.")
    with env.recorded("import", store=store, directory=str(directory)) as result:
        manifest = backups.back_up(source, kind, opened.repository, to, env.clock, env.random())
        result.update(backup=manifest.id, bytes=manifest.stored_bytes)
    click.echo(f"{manifest.id}  {manifest.stored_bytes:,} bytes in {len(manifest.chunks)} chunks, consistent as of {manifest.end}")
    if torn := manifest.counts.get("torn ends left out"):
        click.secho(f"{torn} torn ends of the append-only file were left out; a restore names them.", fg="yellow", err=True)
    return 0


def _directory(env: Environment, store: str, directory: Path, more: dict[str, str]) -> ports.DataStore:
    return connect(ports.Endpoint(store, (), {"directory": str(directory), **more}), env.clock)
