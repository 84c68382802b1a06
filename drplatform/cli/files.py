"""`drplatform files`: file storage that is brought back in place, and compared with a backup."""

import random

import click

from drplatform.cli import options, vault
from drplatform.engine import backups
from drplatform.environment import Environment, Vault, Where
from drplatform.model import errors, ports
from drplatform.model.backup import Manifest


@click.group("files")
def group() -> None:
    """File storage: bring back what is missing or changed, and compare with a backup.

    \b
    drplatform files compare --sample 5
    drplatform files restore --prefix invoices/2026/
    """


@group.command("restore")
@click.option("--store", default="files", show_default=True, help="The store.")
@click.option("--to", help="A moment (2026-11-23T16:00:00Z; UTC).  [default: the latest]")
@click.option("--prefix", default="", help="Only objects whose keys begin so.")
@click.option("--object", "keys", multiple=True, metavar="KEY", help="Only this object; may be given several times.")
@click.option("--into", multiple=True, metavar="OLD=NEW", help="From the bucket OLD of the backup into the bucket NEW.")
@click.option("--delete", is_flag=True, help="Also delete what the backup does not hold (within the prefix).")
@click.option("--closely", is_flag=True, help="Read every object, also those that the listing shows to be untouched.")
@click.option("--configuration", is_flag=True, help="Also set the buckets up as in the backup: versioning, policy, lifecycle, CORS ...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.AS_JSON
@vault.vault_options
def restore(
    store: str,
    to: str | None,
    prefix: str,
    keys: tuple[str, ...],
    into: tuple[str, ...],
    delete: bool,
    closely: bool,
    configuration: bool,
    yes: bool,
    as_json: bool,
    where: Where,
) -> int:
    """Bring buckets, which may hold something, back to a backup. Only what differs is written; everything written is read back.

    Cut off, it is simply repeated: what is there already is not written again. Exit code 1 when the target refused something.

    \b
    drplatform files restore --prefix invoices/2026/
    drplatform files restore --object reports/42.pdf --to 2026-11-23T16:00:00Z
    drplatform files restore --into uploads=uploads-recovered
    drplatform files restore --delete --closely
    """
    choice = ports.ObjectChoice(prefix, frozenset(keys), _pairs(into), delete, closely, configuration)
    if keys and (prefix or delete):
        raise errors.SettingsError("--object and --prefix or --delete exclude each other; name the objects, or how they begin.")
    env = Environment.open(options.settings())
    env.require_log()
    opened = env.vault(where)
    opener = _opener(opened)
    chain = vault.chain(backups.Catalogue(opened.repository).read(store).manifests, store, to)
    with env.working(where) as (platform_store, repository):
        target = platform_store(store)
        lease = backups.Lease(store, target.identity())
        if not yes:
            what = f"objects {', '.join(keys)}" if keys else f"objects that begin with {prefix}" if prefix else "everything"
            gone = ", and delete what it does not hold" if delete else ""
            question = f"Bring {what} in {store} {lease.identity} back to backup {chain.backups[-1].id}{gone}?"
            options.agree(question)
        with env.recorded("restore", store=store, target=lease.identity, backup=chain.backups[-1].id) as result:
            done = backups.reconcile(chain, target, repository, opener, lease, choice)
            result.update(reached=str(done.reached), written=done.written, deleted=done.deleted, refused=len(done.refused))
    for refused in done.refused:
        click.secho(f"Not restored: {refused}", fg="red", err=True)
    if keys and not done.chosen:
        raise errors.SettingsError(f"Backup {chain.backups[-1].id} holds none of these objects; nothing was written.")
    options.told(
        as_json,
        {"store": store, "reached": str(done.reached), "chosen": done.chosen, "written": done.written, "bytes": done.bytes_written}
        | {"deleted": done.deleted, "refused": list(done.refused)},
        f"{store} is as of {done.reached}: of {done.chosen:,} objects chosen, {done.written:,} were written "
        f"({done.bytes_written:,} bytes), {done.deleted:,} deleted",
    )
    return 1 if done.refused else 0


@group.command("compare")
@click.argument("backup_id", required=False)
@click.option("--store", default="files", show_default=True, help="The store.")
@click.option(
    "--sample",
    type=click.FloatRange(0, 100, min_open=True),
    default=100.0,
    metavar="PERCENT",
    help="Read so many percent of the objects, drawn at random; names and sizes are compared of all.  [default: 100]",
)
@click.option("--into", multiple=True, metavar="OLD=NEW", help="Compare the bucket OLD of the backup with the bucket NEW.")
@click.option("--seed", type=int, help="Draw the same objects again.  [default: one that is printed]")
@options.AS_JSON
@vault.vault_options
def compare(backup_id: str | None, store: str, sample: float, into: tuple[str, ...], seed: int | None, as_json: bool, where: Where) -> int:
    """Compare what file storage holds now with a backup (the latest), object by object. Exit code 1 when it differs.

    \b
    drplatform files compare
    drplatform files compare 20261123T1405 --sample 5
    """
    env = Environment.open(options.settings())
    opened = env.vault(where)
    opener = _opener(opened)
    manifest = _chosen(backups.Catalogue(opened.repository), store, backup_id)
    seed = env.random().getrandbits(32) if seed is None else seed
    with env.working(where) as (platform_store, repository):
        target = platform_store(store)
        found = backups.compare(manifest, target, repository, opener, sample / 100, random.Random(seed), _pairs(into))
    if as_json:
        options.told(
            True,
            {"backup": manifest.id, "objects": found.population, "read": found.sampled, "seed": seed, "problems": list(found.problems)},
        )
        return 1 if found.problems else 0
    for problem in found.problems:
        click.secho(problem, fg="red")
    told = f"{found.population:,} objects of backup {manifest.id} compared by name and size, {found.sampled:,} of them read (seed {seed})"
    if not found.problems and found.sampled < found.population:
        told += f"; fewer than {found.bound():,} have a wrong content, with 95 % confidence"
    click.echo(f"{told}: {len(found.problems):,} differences")
    return 1 if found.problems else 0


def _chosen(catalogue: backups.Catalogue, store: str, backup_id: str | None) -> Manifest:
    if backup_id:
        return catalogue.show(backup_id)
    return catalogue.last_of_chain(store)


def _opener(opened: Vault) -> backups.Opener:
    if opened.opener is None:
        raise errors.KeyUnavailable("A private key is needed to read backups; name it with --identity.")
    return opened.opener


def _pairs(into: tuple[str, ...]) -> dict[str, str]:
    """Raises SettingsError."""
    pairs = [each.partition("=") for each in into]
    if wrong := [f"{old}{sign}{new}" for old, sign, new in pairs if not old or not new]:
        raise errors.SettingsError(f"--into {wrong[0]} is not OLD=NEW; e.g. uploads=uploads-recovered.")
    return {old: new for old, _, new in pairs}
