"""`drplatform report`: the Allure report of all drills."""

import click

from drplatform import exercises
from drplatform.cli import options
from drplatform.environment import Environment
from drplatform.reports import allure_html


@click.group("report")
def group() -> None:
    """The Allure report of all drills."""


@group.command()
@click.option("--allure", "command", help="The command of Allure 2 or 3.  [default: allure, from PATH]")
@options.settings_options
def build(command: str | None, **told: object) -> int:
    """Make the HTML report from the Allure results, by Allure's own command, with the history of all builds before.

    With Allure 3 its quality gate is asked, too: no drill failed, and there is one at all.

    Exit code: 0 made (and the gate passed), 1 the gate failed, 2 could not be made.

    \b
    drplatform report build
    drplatform report build --allure node_modules/.bin/allure
    """
    reports = Environment.open(options.settings(**told)).settings.reports
    built = allure_html.build(command or exercises.allure_command(), reports / "allure-results", reports / "allure-report")
    click.echo(f"Made by Allure {built.version}: {built.page.resolve()}")
    if built.passed is None:
        return 0
    click.secho(
        "The quality gate passed." if built.passed else f"The quality gate failed: {built.said}", fg="green" if built.passed else "red"
    )
    return 0 if built.passed else 1
