"""`drplatform faults` and `drplatform stop`: disasters by hand, within guardrails, and how they end."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from drplatform import detection, environment, injection
from drplatform.cli import options
from drplatform.cli.vault import vault_options
from drplatform.engine import guardrails, mutations
from drplatform.environment import Environment, Where
from drplatform.model import errors, powers

SHOWN = 20


@click.group("faults")
def group() -> None:
    """The disasters there are: look at them, cause one by hand, undo it.

    \b
    drplatform platform up
    drplatform faults inject server-hung -p stores=redis --dry-run
    drplatform faults inject server-hung -p stores=redis --for 20 --stop-when-down mongodb
    drplatform faults heal
    """


@group.command("list")
@options.AS_JSON
def list_faults(as_json: bool) -> int:
    """List the disasters there are. What a fault marked with * destroys, only a recovery brings back."""
    made = {kind: environment.fault(kind) for kind in environment.fault_kinds()}
    document = {"faults": [{"kind": kind, "destroys": _destroys(make), "does": _words(make)} for kind, make in made.items()]}
    options.told(as_json, document, *(f"{'*' if _destroys(make) else ' '} {kind:24} {_words(make)}" for kind, make in made.items()))
    return 0


@group.command()
@click.argument("kind")
@options.AS_JSON
def show(kind: str, as_json: bool) -> int:
    """Show one disaster: what it does, its parameters, what it needs, whom it affects."""
    make = environment.fault(kind)
    made = make()
    parameters = {field.name: _text(getattr(made, field.name)) for field in dataclasses.fields(made)}  # type: ignore[arg-type]
    needs, affects = sorted(made.needs()), sorted(made.affects())
    options.told(
        as_json,
        {"kind": kind, "does": _words(make), "parameters": parameters, "needs": needs, "affects": affects, "destroys": _destroys(make)},
        click.style(kind, bold=True),
        _words(make),
        *(f"  -p {name}={value}" for name, value in parameters.items()),
        f"Needs:    {', '.join(needs) or 'nothing'}",
        f"Affects:  {', '.join(affects) or 'no user at once'}",
        f"Undone:   {'by a recovery alone' if _destroys(make) else 'by drplatform faults heal'}",
    )
    return 0


def guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--lease", type=options.PATH, help="A file by which somebody allows faults in production (by, hosts, faults, until)."),
        click.option(
            "--guardrails",
            "rules",
            type=options.PATH,
            envvar="DRPLATFORM_GUARDRAILS",
            help="A file with `hosts`, `contexts` and `production`.",
        ),
        click.option("--destroy", is_flag=True, help="Allow what only a recovery brings back."),
        click.option("--region", "regions", multiple=True, help="Only in these regions (`vault` for the backups).  [default: any]"),
        click.option("--max-share", type=click.FloatRange(0, 1), default=1.0, show_default=True, help="Of what there is of the sort."),
        click.option("--max-targets", type=click.IntRange(1), default=10, show_default=True, help="At most so many targets."),
        click.option("--platform-id", help="The platform (of `drplatform platform up`).  [default: the only one]"),
    ):
        command = option(command)
    return command


@group.command()
@click.argument("kind")
@click.option("-p", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter; lists with commas.")
@click.option("--dry-run", is_flag=True, help="Say what would be touched, and touch nothing. A dry run is no evidence.")
@click.option("--for", "seconds", type=click.FloatRange(0), help="Heal after so many seconds.  [default: stays until `faults heal`]")
@click.option("--stop-when-down", "watched", multiple=True, help="With --for: heal at once when this store does not answer.")
@click.option(
    "--stop-when-fails",
    "commands",
    multiple=True,
    metavar="COMMAND",
    help="With --for: heal at once when this command fails, looked at every second.",
)
@guarded
def inject(
    kind: str,
    parameters: tuple[str, ...],
    dry_run: bool,
    seconds: float | None,
    watched: tuple[str, ...],
    commands: tuple[str, ...],
    platform_id: str | None,
    **told: Any,
) -> int:
    """Cause the disaster KIND on a platform made by hand. Exit code 2 when an independent look does not see it.

    \b
    drplatform faults inject server-killed -p stores=mongodb -p count=1 --max-share 0.2
    drplatform faults inject redis-flushed --destroy
    """
    env = Environment.open(options.settings())
    found = injection.fault(kind, _parameters(kind, parameters))
    guard = _guard(**told)
    conditions = [environment.StopCondition(command) for command in commands]
    for condition in conditions:
        condition.require_holds()
    with injection.scene(env, platform_id, found) as scene:
        if dry_run:
            _tell(kind, injection.aim(found, scene, guard))
            click.echo("Nothing was touched; a dry run is no evidence.")
            return 0
        done = injection.inject(env, found, scene, guard)
        _tell(kind, done.aim)
        click.echo(f"Confirmed on {', '.join(done.effect.receipt.targets[:SHOWN])}: {done.effect.receipt.seen}.")
        if seconds is None:
            click.echo("It stays in effect until: drplatform faults heal")
            return 0
        try:
            if stopped := injection.hold(env, scene, seconds, watched, conditions):
                click.secho(f"A stop condition: {stopped}; healing at once.", fg="yellow")
        finally:
            injection.heal(env, scene)
        click.echo("Healed, and confirmed to be healed.")
    return 0


@group.command()
@click.option("--platform-id", help="Only on this platform.  [default: on all that were made by hand]")
def heal(platform_id: str | None) -> int:
    """Undo the disasters that are in effect, whoever caused them, also when that process was killed."""
    env = Environment.open(options.settings())
    if platform_id:
        with injection.scene(env, platform_id) as scene:
            healed = injection.heal(env, scene)
    else:
        healed = injection.heal_everywhere(env)
    for entry in healed:
        click.echo(f"Healed {entry.kind}, and confirmed to be healed.")
    if not healed:
        click.echo("No disaster is in effect.")
    return 0


@group.command()
@click.argument("stores", nargs=-1)
@click.option("--limit-mib", type=click.IntRange(1), default=256, show_default=True, help="At most so much is copied into memory.")
@vault_options
def score(stores: tuple[str, ...], limit_mib: int, where: Where) -> int:
    """The mutation score of your own backups: every fault on backups, tried on a copy of them in memory, and which layer catches it.

    The vault is read and never written. Exit code 1 when something is missed. The table is written to the reports, too.

    \b
    drplatform faults score
    drplatform faults score redis --repository /backups
    """
    env = Environment.open(options.settings())
    env.require_records()
    with env.recorded("mutation score", stores=list(stores)) as noted:
        found = detection.score(env, env.vault(where), stores, limit_mib << 20)
        noted["summary"], noted["mutations"] = mutations.summary(found), [m.to_json() for m in found]
    _write_score(env.settings.reports, found)
    click.echo(mutations.table(found))
    click.echo(mutations.summary(found))
    return 0 if found and all(m.caught for m in found) else 1


def _write_score(reports: Path, found: list[mutations.Mutation]) -> None:
    layers = "".join(f"- {name}: {meaning}\n" for name, meaning in mutations.LAYERS.items())
    text = f"# Mutation score of the backups\n\n{mutations.summary(found)}\n\n{mutations.table(found)}\nLayers:\n\n{layers}"
    (reports / "mutation-score.md").write_text(text)
    (reports / "mutation-score.json").write_text(json.dumps([m.to_json() for m in found], indent=1))


@click.command()
@click.option("--release", is_flag=True, help="Let disasters happen again.")
def stop(release: bool) -> int:
    """The kill switch: every running drill, experiment and injected fault ends and heals, and none begins until it is released."""
    env = Environment.open(options.settings())
    switch = env.kill_switch()
    if release:
        switch.release()
        env.record_operation("kill switch released")
        click.echo("The kill switch is released.")
        return 0
    switch.pull(env.settings.operator, env.clock.utc().isoformat(timespec="seconds"))
    env.record_operation("kill switch pulled")
    healed = injection.heal_everywhere(env)
    click.echo(f"Stopped: drills and experiments that run heal and end{'; healed ' + ', '.join(e.kind for e in healed) if healed else ''}.")
    click.echo("Nothing begins until: drplatform stop --release")
    return 0


def _guard(
    rules: Path | None, lease: Path | None, destroy: bool, regions: tuple[str, ...], max_share: float, max_targets: int
) -> guardrails.Guard:
    return environment.guard(guardrails.Limits(max_targets, max_share, frozenset(regions), destroy), rules, lease)


def _tell(kind: str, aim: powers.Aim) -> None:
    where = f" in {', '.join(sorted(aim.regions))}" if aim.regions else ""
    click.echo(f"{kind} touches {len(aim.targets)} of {aim.population} ({100 * aim.share:.0f} %){where}:")
    for target in aim.targets[:SHOWN]:
        click.echo(f"  {target}")
    if len(aim.targets) > SHOWN:
        click.echo(f"  and {len(aim.targets) - SHOWN} more")


def _parameters(kind: str, told: tuple[str, ...]) -> dict[str, Any]:
    """As the types of the fault's defaults are. Raises SettingsError."""
    made = environment.fault(kind)()
    known = {f.name: getattr(made, f.name) for f in dataclasses.fields(made)}  # type: ignore[arg-type]
    found = {}
    for each in told:
        name, _, value = each.partition("=")
        if name not in known:
            raise errors.SettingsError(f"The fault {kind} has no parameter {name!r}; it has {', '.join(known) or 'none'}.")
        found[name] = _converted(name, value, known[name])
    return found


def _converted(name: str, value: str, like: object) -> Any:
    if isinstance(like, tuple):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    try:
        return int(value) if isinstance(like, int) else float(value) if isinstance(like, float) else value
    except ValueError:
        raise errors.SettingsError(f"The parameter {name} must be a number, not {value!r}.") from None


def _words(make: Any) -> str:
    return " ".join((make.__doc__ or "").split("\n\n")[0].split())


def _destroys(make: Any) -> bool:
    return bool(getattr(make, "lasting", False))


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
