"""`drplatform gameday`: people practise."""

import sys

import click

from drplatform import exercises
from drplatform.cli import options
from drplatform.environment import Environment
from drplatform.reports import gameday as report
from drplatform.reports import summary


class Terminal:
    """The person at this terminal."""

    def tell(self, text: str) -> None:
        click.echo(text)

    def ask(self, prompt: str) -> str:
        click.echo(click.style(f"{prompt} ", bold=True), nl=False)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line


@click.command()
@click.option("--within", type=click.FloatRange(0, 3600), default=60.0, show_default=True, help="Seconds in which something happens.")
@options.settings_options
def gameday(within: float, **told: object) -> int:
    """Cause a disaster drawn at random, unannounced, and time a person who recovers by the runbook: detect, decide, repair.

    On an embedded platform. Have the runbooks at hand (`drplatform runbook render`). Two people sign off at the end.

    \b
    drplatform gameday
    drplatform gameday --seed 7 --within 20
    """
    env = Environment.open(options.settings(**told))
    click.echo("Preparing the platform: data, clients, backups ...")
    with exercises.game_day(env, Terminal(), within) as (day, running):
        evidence, times = day.play(running)
    concluded = env.conclude(evidence)
    written = report.write(
        evidence,
        {"detect": times.detect, "decide": times.decide, "repair": times.repair},
        {"false alarms": times.false_alarms, "wrong decisions": times.wrong_decisions},
        env.settings.reports / evidence.id,
    )
    for line in summary.lines(evidence):
        click.echo(line)
    click.echo(f"\nDetect {times.detect.upper:.1f} s, decide {times.decide.upper:.1f} s, repair {times.repair.upper:.1f} s.")
    click.echo(f"Report: {written['html'].resolve()}")
    click.echo(concluded.kept, nl=bool(concluded.kept))
    return evidence.verdict.exit_code
