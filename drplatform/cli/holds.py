"""`drplatform backups hold|release|holds`: what must stay, whatever the policy says of its age."""

import json

import click

from drplatform.cli import options, vault
from drplatform.engine import backups
from drplatform.engine.backups import holds as store
from drplatform.environment import Environment, Where


@click.command()
@click.argument("backup_id")
@click.option("--why", required=True, help="Written down with the hold, and in the audit log.")
@vault.vault_options
def hold(backup_id: str, why: str, where: Where) -> int:
    """Keep a backup, and what a restore of it needs, until it is released. The beginning of an id will do.

    \b
    drplatform backups hold 20261123T1405 --why "case 4711"
    """
    env = Environment.open(options.settings())
    env.require_log()
    repository = env.vault(where).repository
    found = backups.Catalogue(repository).show(backup_id)
    with env.recorded("hold", backup=found.id, why=why):
        store.place(repository, found.id, env.settings.operator, why, env.clock.utc())
    click.echo(f"{found.id} is held.")
    return 0


@click.command()
@click.argument("backup_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@vault.vault_options
def release(backup_id: str, yes: bool, where: Where) -> int:
    """Let a held backup go again: the next prune treats it by its age.

    \b
    drplatform backups release 20261123T140501Z-3f9a2c
    """
    env = Environment.open(options.settings())
    env.require_log()
    repository = env.vault(where).repository
    if not yes:
        options.agree(f"Release the hold on {backup_id} in {repository.describe()}?")
    with env.recorded("release of a hold", backup=backup_id):
        store.release(repository, backup_id)
    click.echo(f"{backup_id} is no longer held.")
    return 0


@click.command()
@options.AS_JSON
@vault.vault_options
def holds(as_json: bool, where: Where) -> int:
    """List what is held, by whom and why.

    \b
    drplatform backups holds --json
    """
    repository = Environment.open(options.settings()).vault(where).repository
    found = {backup: store.reason(repository, backup) for backup in sorted(store.held(repository))}
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return 0
    for backup, told in found.items():
        click.echo(f"{backup}  {told.get('when', '?')}  {told.get('who', '?')}: {told.get('why', 'unreadable')}")
    if not found:
        click.echo("Nothing is held.")
    return 0
