"""`drplatform compliance` and `gate`: what the evidence says of the strategy, for auditors and for CI."""

import click

from drplatform.cli import options
from drplatform.environment import Environment
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
    click.echo(f"Data:   {written['json'].resolve()}")
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
