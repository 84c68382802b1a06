"""`drplatform compliance` and `gate`: what the evidence says of the strategy, for auditors and for CI."""

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from drplatform import exercises
from drplatform.cli import options
from drplatform.environment import Environment
from drplatform.model import deficiency, errors, oversight, strategy, trials
from drplatform.model import gate as gates
from drplatform.model.compliance import Assessment, Status
from drplatform.model.gate import Level
from drplatform.reports import compliance, documents, wording
from drplatform.reports import gate as reports

LEVEL_COLOURS = {Level.PASSED: "green", Level.DOUBT: "yellow", Level.FAILED: "red"}
COLOURS = {Status.PROVEN: "green", Status.STALE: "yellow", Status.NEVER_TESTED: "yellow", Status.FAILED: "red"}


@click.group("compliance")
def group() -> None:
    """Hold the evidence against the strategy."""


@group.command()
@click.option("--at-size", "at_size", multiple=True, metavar="STORE=SIZE", help="Project the recovery time to a size, e.g. mongodb=500GiB.")
@options.settings_options
def report(at_size: tuple[str, ...], **told: object) -> int:
    """Write the compliance report: each clause proven, stale, never tested or failed, with its evidence; trends of all measurements.

    \b
    drplatform compliance report
    drplatform compliance report --at-size mongodb=500GiB --at-size files=2TiB
    """
    env = Environment.open(options.settings(**told))
    assessment = env.assessment()
    written = compliance.write(assessment, env.settings.reports, exercises.past(env), dict(map(_size, at_size)))
    exercises.note_report(env, written.values())
    for status in Status:
        of = [f for f in assessment.findings if f.status is status]
        click.secho(f"{len(of):3} clauses {status.value}", fg=COLOURS[status] if of else None)
        if status is not Status.PROVEN:
            for f in of:
                click.echo(
                    f"      {f.clause.text}{f': {f.reason}' if status is not Status.NEVER_TESTED else ''}\n        to prove it: {f.clause.how}"
                )
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


def _size(text: str) -> tuple[str, float]:
    """`mongodb=500GiB` as store and bytes."""
    match = re.fullmatch(r"(\w+)=(\d+(?:\.\d+)?)(B|KiB|MiB|GiB|TiB)", text)
    if not match:
        raise click.BadParameter(f"expected STORE=SIZE such as mongodb=500GiB, not {text!r}", param_hint="--at-size")
    return match[1], float(match[2]) * 1024 ** ("B", "KiB", "MiB", "GiB", "TiB").index(match[3])


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


@group.command()
@options.settings_options
def verify(**told: object) -> int:
    """Check that the files of the newest compliance report are as they were written, byte for byte, by the audit log."""
    env = Environment.open(options.settings(**told))
    names = exercises.verify_report(env)
    click.echo(f"As they were written: {', '.join(names)} in {env.settings.reports.resolve()}.")
    return 0


@group.command("sign-off")
@click.argument("drill", default="latest")
@click.option("--who", required=True, help="Who has looked.")
@click.option("--statement", required=True, help="What was looked at, and found.")
def sign_off(drill: str, who: str, statement: str) -> int:
    """Sign that critical functionality was verified by a person after a DRILL (an id; default: the newest).

    \b
    drplatform compliance sign-off --who "Grace Hopper" --statement "orders can be placed, invoices open"
    """
    env = Environment.open(options.settings())
    record = exercises.drill_record(env, drill)
    if record["verdict"] != "PASSED":
        raise errors.SettingsError(f"Drill {record['id']} is {record['verdict']}; what did not pass cannot be signed off.")
    env.record_operation(strategy.SIGN_OFF, drill=record["id"], signed_by=who, statement=statement)
    click.echo(f"Signed off: {record['id']}, {record['scenario']['name']}.")
    return 0


@group.command()
@click.option("--who", help="Who has reviewed it.")
@click.option("--statement", help="What was concluded.")
@options.AS_JSON
@options.settings_options
def review(who: str | None, statement: str | None, as_json: bool, **told: object) -> int:
    """Show what a regular review looks at, and sign that it was held: targets beside the worst that was measured, clauses, deficiencies.

    A review counts for a quarter, and for the policy of its day: when services are added or targets change, hold another.

    \b
    drplatform compliance review
    drplatform compliance review --who "Grace Hopper" --statement "targets stay as they are; the cluster drill is to be held by March"
    """
    if bool(who) is not bool(statement):
        raise click.UsageError("A review that was held has both: --who NAME and --statement TEXT.")
    env = Environment.open(options.settings(**told))
    assessment = env.assessment()
    targets = exercises.targets_beside_worst(env)
    clauses = {s.value: sum(f.status is s for f in assessment.findings) for s in Status}
    deficiencies = [
        f"Drill {d.drill} failed: {d.state(assessment.at.date())}. {d.finding}" for d in assessment.deficiencies if not d.closed
    ]
    if who and statement:
        env.record_operation(oversight.COMPLIANCE, signed_by=who, statement=statement, policy=env.policy.hash, clauses=clauses)
    options.told(
        as_json,
        {"targets": targets, "clauses": clauses, "deficiencies": deficiencies, "signed_by": who},
        *map(_beside_worst, targets),
        *(f"{count:3} clauses {status}" for status, count in clauses.items()),
        *deficiencies,
        *([f"Reviewed by {who}."] if who else []),
    )
    return 0


def _beside_worst(row: Mapping[str, Any]) -> str:
    worst = ", ".join(f"{wording.duration(seconds)} on {platform}" for platform, seconds in sorted(row["worst"].items())) or "nothing"
    return f"{row['name'].upper()} {row['store']:13} target below {wording.duration(row['target']):6} worst measured: {worst}"


@click.command()
@click.option(
    "--require",
    "required",
    multiple=True,
    help="A clause or a drill that must be proven (see the report's JSON).  [default: those ever proven]",
)
@click.option("--newest", type=click.IntRange(min=1), default=trials.NEWEST, show_default=True, help="Runs compared with those before.")
@click.option("--junit", type=options.PATH, help="Write JUnit XML here.")
@click.option("--markdown", type=options.PATH, help="Write a summary in Markdown here, e.g. $GITHUB_STEP_SUMMARY.")
@options.AS_JSON
@options.settings_options
def gate(required: tuple[str, ...], newest: int, junit: Path | None, markdown: Path | None, as_json: bool, **told: object) -> int:
    """Say for CI whether what was proven still is.

    Fails when a clause failed, or when the newest runs (see `drill run --trials`) took longer, lost more or restored slower than those
    before them, beyond noise: by a rank test, with the change that it could have seen. In doubt when evidence has expired, a drill is
    overdue, or coverage has fallen.

    Exit code: 0 yes, 1 something failed, 2 something is in doubt.

    \b
    drplatform gate --junit gate.xml --markdown gate.md
    drplatform gate --require database-recovery --require rto-critical
    """
    env = Environment.open(options.settings(**told))
    assessment = env.assessment()
    items = [*exercises.gate_items(env, assessment, newest), *_required(assessment, required)]
    for path, content in ((junit, reports.junit(items)), (markdown, reports.markdown(items).encode())):
        if path:
            documents.write_whole(path, content)
    code = gates.exit_code(items)
    if as_json:
        rows = [{"group": i.group, "name": i.name, "level": i.level.name, "text": i.text} for i in items]
        options.told(True, {"exit_code": code, "items": rows})
        return code
    for item in sorted(items, key=lambda i: -i.level):
        if item.level is not Level.PASSED or item.group == "trend":
            click.secho(f"{reports.SIGNS[item.level]} {item.name}: {item.text}", fg=LEVEL_COLOURS[item.level])
    if not items:
        click.secho("? There is no evidence at all; run a drill first.", fg="yellow")
    if code == 0:
        click.secho("✓ What was proven still is.", fg="green")
    return code


def _required(assessment: Assessment, names: tuple[str, ...]) -> list[gates.Item]:
    try:
        return list(gates.required(assessment, names))
    except KeyError as error:
        raise click.BadParameter(f"there is no clause or drill {error.args[0]!r}", param_hint="--require") from error
