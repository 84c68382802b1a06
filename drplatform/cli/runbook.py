"""`drplatform runbook` and `review`: documents made from the steps that run and from the drills that ran."""

from pathlib import Path

import click

from drplatform import exercises
from drplatform.cli import options
from drplatform.environment import Environment
from drplatform.model import errors, history, oversight
from drplatform.reports import review as review_report
from drplatform.reports import runbook as runbook_report


@click.group("runbook")
def group() -> None:
    """Runbooks for people, made from the steps that drills run."""


@group.command()
@click.argument("components", nargs=-1)
@click.option("--into", type=options.PATH, help="Where they go.  [default: the reports directory, runbooks]")
@options.settings_options
def render(components: tuple[str, ...], into: Path | None, **told: object) -> int:
    """Write the runbook of each COMPONENT (default: all) as Markdown and HTML: step, command, expected duration, how to tell, how to undo.

    \b
    drplatform runbook render
    drplatform runbook render mongodb redis --into docs/runbooks
    """
    env = Environment.open(options.settings(**told))
    found = exercises.books(env)
    known = [book.component for book in found]
    if unknown := [name for name in components if name not in known]:
        raise errors.SettingsError(f"There is no runbook of {unknown[0]!r}; there are: {', '.join(known)}.")
    chosen = [book for book in found if not components or book.component in components]
    directory = into or env.settings.reports / "runbooks"
    written = runbook_report.write(chosen, history.durations(exercises.past(env)), directory)
    for component, files in written.items():
        click.echo(f"{component:14} {files['html'].resolve()}")
    click.echo(f"As Markdown, too, in {directory.resolve()}.")
    return 0


@click.command()
@click.argument("drill", default="latest")
@click.option("--held-by", "held_by", metavar="NAME", help="Who held the review; with --concluded, it is noted in the audit log as held.")
@click.option("--concluded", metavar="TEXT", help="What those who held it concluded.")
@options.settings_options
def review(drill: str, held_by: str | None, concluded: str | None, **told: object) -> int:
    """Write the post-incident review of a DRILL (an id; default: the newest), prefilled from its timeline.

    Whether reviews are held is part of the evidence. A document is no review: one is held when somebody signs for it.

    \b
    drplatform review
    drplatform review 20261123T185022Z-36323a
    drplatform review 20261123T185022Z-36323a --held-by "Grace Hopper" --concluded "8 connections for restores, runbook changed"
    """
    if bool(held_by) is not bool(concluded):
        raise click.UsageError("A review that was held has both: --held-by NAME and --concluded TEXT.")
    env = Environment.open(options.settings(**told))
    record = exercises.drill_record(env, drill)
    found = next((d for d in env.assessment().deficiencies if d.drill == record["id"]), None)
    written = review_report.write(record, found, env.settings.reports / "reviews")
    if held_by and concluded:
        env.record_operation(oversight.POST_INCIDENT, drill=record["id"], signed_by=held_by, statement=concluded)
    click.echo(f"Review:   {written['html'].resolve()}")
    click.echo(f"Markdown: {written['markdown'].resolve()}")
    if not held_by:
        click.echo("A draft. When it was held: drplatform review " + record["id"] + " --held-by NAME --concluded TEXT")
    return 0
