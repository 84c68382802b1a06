"""`drplatform backups prune` and `map`: what may go by the policy, and what can be recovered to."""

import json
from datetime import UTC, datetime, timedelta

import click

from drplatform.cli import options, vault
from drplatform.engine import backups
from drplatform.engine.backups import holds as keeping
from drplatform.engine.backups import pruning
from drplatform.environment import Environment, Where
from drplatform.model import errors, ports, retention


@click.command()
@click.option("--hold", "holds", multiple=True, help="Keep this backup this time; for longer: `backups hold`.")
@click.option("--yes", is_flag=True, help="Delete without asking.")
@click.option("--dry-run", is_flag=True, help="Only say what would go and why the rest stays.")
@options.AS_JSON
@vault.vault_options
def prune(holds: tuple[str, ...], yes: bool, dry_run: bool, as_json: bool, where: Where) -> int:
    """Delete the backups that the policy lets go, never breaking a chain that is still needed.

    Exit code 1 when a manifest is damaged, 2 when a store was left alone because a clock cannot be trusted.
    """
    env = Environment.open(options.settings()).under(where)
    if not dry_run:
        env.require_log()
    repository = env.vault(where).repository
    listing = backups.Catalogue(repository).read()
    held = keeping.held(repository)
    plan = retention.prune(listing.manifests, env.policy, env.clock.utc(), held | set(holds))
    rubbish = pruning.garbage(listing.manifests, listing.problems, repository, env.clock.utc())
    if as_json:
        options.told(True, _plan(plan, rubbish, dry_run))
    else:
        _show(plan, rubbish, dry_run)
    if not dry_run and (plan.delete or rubbish.keys):
        if not yes:
            options.agree(f"Delete {len(plan.delete)} backups ({plan.bytes:,} bytes) from {repository.describe()}?")
        with env.recorded("prune", backups=[m.id for m in plan.delete], garbage=len(rubbish.keys)):
            pruning.apply(plan, repository, lambda m: click.echo(f"deleted {m.id}", err=as_json), held)
            pruning.collect(rubbish, repository)
    for problem in listing.problems:
        click.secho(problem, fg="red", err=True)
    return 1 if listing.problems else 2 if plan.refused else 0


@click.command()
@click.option("--yes", is_flag=True, help="Do it without asking.")
@options.AS_JSON
@vault.vault_options
def undelete(yes: bool, as_json: bool, where: Where) -> int:
    """Bring back backups that were deleted from a bucket with versions: by a prune under a wrong policy, or by whoever stole a key.

    A bucket with object lock keeps them for as long as `lock_days` of the configuration says. What is old goes again with the next prune.

    \b
    drplatform backups undelete --config drplatform.yaml
    """
    env = Environment.open(options.settings())
    env.require_log()
    repository = env.vault(where).repository
    if not isinstance(repository, ports.Undeletes):
        raise errors.SettingsError(f"{repository.describe()} keeps nothing that was deleted; only a bucket with versions does.")
    if not yes:
        options.agree(f"Bring back all that was deleted from {repository.describe()} and is still kept?")
    before = {m.id for m in backups.Catalogue(repository).read().manifests}
    with env.recorded("undelete") as result:
        shown = repository.undelete("")
        listing = backups.Catalogue(repository).read()
        back = sorted({m.id for m in listing.manifests} - before)
        result.update(backups=back, objects=len(shown))
    text = f"{len(back)} backups are back ({len(shown)} objects). Check them: drplatform backups verify --all"
    options.told(as_json, {"backups": back, "objects": len(shown), "problems": list(listing.problems)}, *back, text)
    for problem in listing.problems:
        click.secho(problem, fg="red", err=True)
    return 1 if listing.problems else 0


def _plan(plan: retention.Pruning, rubbish: pruning.Garbage, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "goes": [m.id for m in plan.delete],
        "bytes": plan.bytes,
        "stays": dict(plan.keep),
        "left_alone": dict(plan.refused),
        "objects_of_no_backup": len(rubbish.keys),
    }


def _show(plan: retention.Pruning, rubbish: pruning.Garbage, dry_run: bool) -> None:
    for manifest in plan.delete:
        click.echo(f"{manifest.id}  {manifest.store:14} {manifest.kind.value:12} {manifest.finished:%Y-%m-%d %H:%M}  goes")
    if dry_run:
        for name, why in plan.keep.items():
            click.echo(f"{name}  stays: {why}")
    for store, why in plan.refused.items():
        click.secho(f"{store}: nothing is deleted; {why}.", fg="yellow", err=True)
    click.echo(
        f"{len(plan.keep)} backups stay, {len(plan.delete)} go ({plan.bytes:,} bytes); {len(rubbish.keys)} objects belong to none ({rubbish.bytes:,} bytes)."
    )


@click.command("map")
@click.argument("store")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), default=7.0, show_default=True, help="How far back to look.")
@options.AS_JSON
@vault.vault_options
def recoverability(store: str, days: float, as_json: bool, where: Where) -> int:
    """Say for each moment of the last days whether STORE can be recovered to it, and by which chain.

    Exit code 1 when some of the time since the first backup in the window cannot be reached.
    """
    env = Environment.open(options.settings())
    listing = backups.Catalogue(env.vault(where).repository).read(store)
    now = env.clock.utc()
    reached = [r for r in retention.reachable(listing.manifests, store) if r.until >= now - timedelta(days=days)]
    newest = max((r.until for r in reached), default=now)
    since = max(min((r.since for r in reached), default=now), now - timedelta(days=days))
    red = retention.gaps(reached, since, newest)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "store": store,
                    "reachable": [_stretch(r.since, r.until) | {"base": r.base} for r in reached],
                    "gaps": [_stretch(*g) for g in red],
                },
                indent=2,
            )
        )
    else:
        for reach in reached:
            click.echo(f"{_time(reach.since)} to {_time(reach.until)}  from {reach.base}")
        for begin, end in red:
            click.secho(f"{_time(begin)} to {_time(end)}  not reachable", fg="red")
        click.echo(
            f"The newest moment that {store} can be recovered to was {(now - newest).total_seconds():,.0f} s ago."
            if reached
            else f"{store} cannot be recovered to any moment of the last {days:g} days."
        )
    return 1 if red or not reached else 0


def _stretch(since: datetime, until: datetime) -> dict[str, str]:
    return {"since": since.isoformat(), "until": until.isoformat()}


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
