"""`drplatform drill` and `heal`."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from drplatform import environment, injection
from drplatform.cli import options
from drplatform.cli.progress import Progress
from drplatform.engine import services
from drplatform.engine.drill import Drill
from drplatform.environment import Concluded, Environment
from drplatform.model import drill as drills
from drplatform.model import errors
from drplatform.model.evidence import Evidence
from drplatform.model.verdict import Verdict
from drplatform.reports import summary

COLOURS = {Verdict.PASSED: "green", Verdict.INCONCLUSIVE: "yellow", Verdict.FAILED: "red"}


@click.group("drill")
def group() -> None:
    """Run recovery drills."""


@group.command()
@click.argument("feature", type=options.PATH)
@click.option("--name", help="Only scenarios whose name contains this.")
@click.option("--trials", type=click.IntRange(min=1), default=1, help="Run each so many times, each with data of its own, for `gate`.")
@click.option("--sign-off", "signer", metavar="NAME", help="Who verifies critical functionality by hand.  [default: asked on a terminal]")
@click.option("--kill-recovery", "killed", is_flag=True, help="Kill each restore in the middle (SIGKILL), and begin it again.")
@click.option(
    "--hang-recovery", "hung", type=click.Choice(drills.HANGS), help="Have the steps of this phase hang first, then begin them again."
)
@click.option(
    "--stop-when-fails",
    metavar="COMMAND",
    help="Interrupt and heal when this command fails, looked at every second (DRPLATFORM_STOP_WHEN_FAILS).",
)
@options.AS_JSON
@options.settings_options
def run(
    feature: Path,
    name: str | None,
    trials: int,
    signer: str | None,
    killed: bool,
    hung: str | None,
    as_json: bool,
    **told: object,
) -> int:
    """Run the scenarios of a Gherkin FEATURE and say whether the platform was recovered.

    \b
    drplatform drill run features/monthly/database_recovery.feature
    drplatform drill run features/monthly/backup_oversight.feature --hang-recovery switch

    Exit code: 0 passed, 1 failed, 2 inconclusive or could not run.
    """
    settings = options.settings(**told, sign_off=_ask_who_looked if signer is None else signer.strip)
    env = Environment.open(settings)
    scenarios = [s for s in environment.read_feature(feature) if not name or name in s.name]
    if not scenarios:
        raise errors.SettingsError(f"{feature} has no scenario{f' with {name!r} in its name' if name else ''}; look at the file.")
    if killed or hung:
        scenarios = [drills.struck(scenario, killed, hung or "") for scenario in scenarios]
    envs = [replace(env, seed=env.seed + trial) for trial in range(trials)]
    done = []
    for one, scenario in ((one, scenario) for one in envs for scenario in scenarios):
        evidence, concluded = _run_one(one, scenario)
        done.append((evidence, concluded))
        if not as_json:
            _show(evidence, concluded)
    code = max(evidence.verdict for evidence, _ in done).exit_code
    if as_json:
        options.told(True, {"exit_code": code, "drills": [_document(*each) for each in done]})
    return code


def _ask_who_looked() -> str:
    """Whoever sits at the terminal says who has looked; where nobody sits, nobody has."""
    if not sys.stdin.isatty():
        return ""
    name: str = click.prompt(
        f"Look at {services.CRITICAL}.\nWho has looked, and found it in order? (Enter: nobody)", default="", show_default=False
    )
    return name.strip()


def _run_one(env: Environment, scenario: drills.Scenario) -> tuple[Evidence, Concluded]:
    click.echo(f"Starting the {env.settings.platform} platform ...", err=True)
    with env.drill(scenario, Progress()) as drill:
        _perform_all(drill)
        evidence = drill.conclude()
    return evidence, env.conclude(evidence)


def _document(evidence: Evidence, concluded: Concluded) -> dict[str, Any]:
    """The evidence itself is in the file that `reports.json` names."""
    return {
        "id": evidence.id,
        "scenario": evidence.scenario["name"],
        "verdict": evidence.verdict.name,
        "summary": evidence.summary,
        "measurements": list(evidence.measurements),
        "losses": [{name: loss[name] for name in loss if not isinstance(loss[name], list)} for loss in evidence.losses],
        "reports": {name: str(path.resolve()) for name, path in concluded.reports.items()},
        "kept": concluded.kept,
    }


def _perform_all(drill: Drill) -> None:
    """All activities in order. What cannot be done ends the run; an expectation that is not met does not."""
    for activity in drill.plan.scenario.activities:
        try:
            drill.perform(activity)
        except Exception:  # noqa: BLE001  a face: the drill has recorded it, and it decides the verdict
            if not isinstance(activity, drills.Expect):
                return


def _show(evidence: Evidence, concluded: Concluded) -> None:
    reports = concluded.reports
    first, *rest = summary.lines(evidence)
    click.echo()
    click.secho(first, fg=COLOURS[evidence.verdict], bold=True)
    for line in rest:
        click.echo(line)
    if manual := services.manual(evidence):
        click.echo(f"\n{manual}")
    click.echo()
    click.echo(f"Report:   {reports['html'].resolve()}")
    click.echo(f"Evidence: {reports['json'].resolve()}")
    click.echo(f"Signed:   {reports['signed'].resolve()}")
    click.echo(f"Allure:   {reports['allure'].resolve()}")
    click.echo(concluded.kept, nl=bool(concluded.kept))


@click.command()
@options.settings_options
def heal(**told: object) -> int:
    """Undo what killed runs have left behind: faults, servers, ports, directories."""
    settings = options.settings(**told)
    env = Environment.open(settings)
    for entry in injection.heal_everywhere(env):
        click.echo(f"Healed {entry.kind}, and confirmed to be healed.")
    cleared = env.sweep()
    click.echo(f"Cleared {cleared} abandoned platform{'s' if cleared != 1 else ''}." if cleared else "Nothing was left behind.")
    return 0
