"""`drplatform compliance` and `gate`: what the evidence says of the strategy, for auditors and for CI."""

from datetime import datetime

import click

from drplatform.cli import options
from drplatform.environment import Environment
from drplatform.model import deficiency, errors
from drplatform.model.compliance import Assessment, Status
from drplatform.reports import compliance

COLOURS = {Status.PROVEN: "green", Status.STALE: "yellow", Status.NEVER_TESTED: "yellow", Status.FAILED: "red"}


@click.group("compliance")
def group() -> None:
    """Hold the evidence against the strategy."""


@group.command()
@options.settings_options
def report(**told: object) -> int:
    """Write the compliance report: each clause proven, stale, never tested or failed, with its evidence."""
    env = Environment.open(options.settings(**told))
    assessment = env.assessment()
    written = compliance.write(assessment, env.settings.reports)
    for status in Status:
        count = sum(f.status is status for f in assessment.findings)
        click.secho(f"{count:3} clauses {status.value}", fg=COLOURS[status] if count else None)
    for due in assessment.calendar:
        if due.overdue(assessment.at):
            click.secho(f"The {due.cadence} drill {due.name} is overdue.", fg="yellow")
    click.echo(f"Report: {written['html'].resolve()}")
    for found in assessment.deficiencies:
        if not found.closed:
            click.secho(f"Drill {found.drill} failed: {found.state(assessment.at.date())}.", fg="red")
    click.echo(f"PDF:    {written['pdf'].resolve()}")
    click.echo(f"Data:   {written['json'].resolve()}")
    click.echo(f"OSCAL:  {written['oscal'].resolve()}")
    return 0


@group.command()
@click.argument("drill")
@click.argument("text")
@click.option("--owner", required=True, help="Who does it.")
@click.option("--due", required=True, type=click.DateTime(["%Y-%m-%d"]), help="Until which day, e.g. 2026-12-31.")
def action(drill: str, text: str, owner: str, due: datetime) -> int:
    """Plan a corrective action against a DRILL that failed. Only a retest closes the deficiency, never this command.

    \b
    drplatform compliance action 20261123T185022Z-36323a "restore with 8 connections" --owner ops --due 2026-12-15
    """
    env = Environment.open(options.settings())
    known = {d.drill: d for d in env.assessment().deficiencies}
    if drill not in known:
        raise errors.SettingsError(f"No failed drill {drill!r} is in the audit log; failed are: {', '.join(known) or 'none'}.")
    env.record_operation(deficiency.ACTION, drill=drill, text=text, owner=owner, due=f"{due:%Y-%m-%d}")
    click.echo(f"Planned. It is closed when the scenario {known[drill].scenario!r} passes again.")
    return 0


@click.command()
@click.option(
    "--require",
    "required",
    multiple=True,
    help="A clause or a drill that must be proven (see the report's JSON).  [default: those ever proven]",
)
@options.settings_options
def gate(required: tuple[str, ...], **told: object) -> int:
    """Say for CI whether what was proven still is: no clause failed, none gone stale, no drill overdue that has ever passed.

    Exit code: 0 yes, 1 something failed, 2 something is stale, overdue or was never tested.
    """
    assessment = Environment.open(options.settings(**told)).assessment()
    failed, doubtful = findings(assessment, required)
    for line in failed:
        click.secho(f"✗ {line}", fg="red")
    for line in doubtful:
        click.secho(f"? {line}", fg="yellow")
    if not failed and not doubtful:
        click.secho("✓ What was proven still is.", fg="green")
    return 1 if failed else 2 if doubtful else 0


def findings(assessment: Assessment, required: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """What failed, and what is not proven any more (or never was, though required), in words."""
    failed = [f"{f.clause.text}: failed; {f.reason}" for f in assessment.findings if f.status is Status.FAILED]
    doubtful = [f"{f.clause.text}: stale; {f.reason}" for f in assessment.findings if f.status is Status.STALE]
    doubtful += [f"The {d.cadence} drill {d.name} is overdue." for d in assessment.calendar if d.attempts and d.overdue(assessment.at)]
    known = {f.clause.id: f for f in assessment.findings}
    drills = {d.name: d for d in assessment.calendar}
    for name in required:
        if name not in known and name not in drills:
            raise click.BadParameter(f"there is no clause or drill {name!r}", param_hint="--require")
        if name in known and known[name].status is Status.NEVER_TESTED:
            doubtful.append(f"{known[name].clause.text}: never tested; {known[name].reason}")
        if name in drills and not drills[name].attempts:
            doubtful.append(f"The {drills[name].cadence} drill {name} has never run.")
    if not any(f.evidence for f in assessment.findings):
        doubtful.append("There is no evidence at all; run a drill first.")
    return failed, doubtful
