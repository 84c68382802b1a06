"""pytest plugin, loaded by its entry point: options, the `drill` fixture, steps, and the verdict at the end of each scenario.

Every pytest run loads this module, so the composition with its servers' clients is imported only where a drill runs.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pytest_bdd import parsers, step
from pytest_bdd.parser import Feature, Scenario, Step
from pytest_bdd.scenario import scenario_wrapper_template_registry

from drplatform.bdd import allure_steps
from drplatform.engine import phrases
from drplatform.model import drill as drills
from drplatform.model import errors, timeline
from drplatform.model.evidence import Evidence
from drplatform.model.verdict import Verdict

if TYPE_CHECKING:
    from drplatform.engine.drill import Drill
    from drplatform.environment import Settings

SCENARIO = pytest.StashKey[drills.Scenario]()
RUNNING = pytest.StashKey["Drill"]()
STEPS = pytest.StashKey[allure_steps.Steps]()
TERMINAL = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("drplatform", "recovery drills")
    group.addoption("--platform", help="Where to drill.  [default: embedded]")
    group.addoption("--policy", type=Path, help="A policy in YAML.  [default: the one that comes with drplatform]")
    group.addoption("--seed", type=int, help="Repeats a run with the same data.  [default: random, printed]")
    group.addoption("--trials", type=int, default=1, help="Runs every drill so many times, each with data of its own.  [default: 1]")
    group.addoption("--sign-off", metavar="NAME", default="", help="Who verifies critical functionality by hand.  [default: nobody]")
    group.addoption("--drill-reports", type=Path, help="Where reports of drills go.  [default: reports]")


@pytest.fixture
def drill_trial(request: pytest.FixtureRequest) -> int:
    """Which of the trials of a drill this is, from 0 on."""
    return int(getattr(request, "param", 0))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    trials = metafunc.config.getoption("--trials")
    if trials > 1 and metafunc.function in scenario_wrapper_template_registry:
        metafunc.fixturenames.append("drill_trial")
        metafunc.parametrize("drill_trial", range(trials), indirect=True, ids=lambda number: f"trial-{number + 1}")


# -- the drill ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def drill(request: pytest.FixtureRequest) -> Iterator["Drill"]:
    """The drill of this scenario, planned, on a platform of its own. Steps perform its activities in order."""
    from drplatform.environment import Environment

    env = Environment.open(_settings(request.config))
    if request.config.getoption("--trials") > 1:
        env = replace(env, seed=env.seed + request.getfixturevalue("drill_trial"))
    with ExitStack() as stack:
        try:
            running = stack.enter_context(env.drill(request.node.stash[SCENARIO], _listener(request)))
        except errors.PlanError as error:
            pytest.fail(f"It could not run, and proves nothing. {error}", pytrace=False)
        request.node.stash[RUNNING] = running
        yield running


def _settings(config: pytest.Config) -> "Settings":
    from drplatform.environment import Settings

    return Settings.read(
        platform=config.getoption("--platform"),
        policy=config.getoption("--policy"),
        seed=config.getoption("--seed"),
        reports=config.getoption("--drill-reports"),
        sign_off=lambda: str(config.getoption("--sign-off")).strip(),
    )


def _listener(request: pytest.FixtureRequest) -> timeline.Listener:
    """Steps of the recovery show in Allure below the sentence that asked for it."""
    steps: allure_steps.Steps = request.node.stash[STEPS]
    return steps.event


def pytest_bdd_before_scenario(request: pytest.FixtureRequest, feature: Feature, scenario: Scenario) -> None:
    from drplatform import environment

    sentences = [s.name for s in scenario.steps if _known(s.name)]
    tags = [*feature.tags, *scenario.tags]
    request.node.stash[STEPS] = allure_steps.Steps(request.config)
    if sentences:
        planned = phrases.scenario(feature.name or "", scenario.name, tags, sentences, feature.rel_filename, environment.fault)
        request.node.stash[SCENARIO] = planned
        allure_steps.label(feature.name or "", planned)


def pytest_bdd_after_scenario(request: pytest.FixtureRequest, feature: Feature, scenario: Scenario) -> None:
    """Judge while everything still runs, and fail the test unless the verdict is PASSED. An interruption goes on, and ends the session."""
    running = request.node.stash.get(RUNNING, None)
    if running is None:
        return
    from drplatform.environment import Environment

    evidence = running.conclude()
    env = Environment.open(_settings(request.config))
    concluded = env.conclude(evidence, allure=not allure_steps.active(request.config))
    allure_steps.attach(request.config, evidence, concluded.record)
    _remember(request.config, evidence, concluded.reports, concluded.kept)
    if evidence.verdict is not Verdict.PASSED and not isinstance(sys.exception(), KeyboardInterrupt):
        pytest.fail(f"{evidence.verdict.name}: {evidence.summary}", pytrace=False)


def _known(sentence: str) -> bool:
    try:
        phrases.activity(sentence)
    except errors.PlanError:
        return False
    return True


# -- the step library -----------------------------------------------------------------------------------------------------------


def _perform(drill: "Drill") -> None:
    drill.perform(drill.upcoming())


# pytest-bdd keeps a step in the module that calls `step`, so the loop stands here and not in a function. The steps have no keyword of their
# own: each phrase may follow Given, When or Then.
for _phrase in phrases.PHRASES:
    for _pattern in _phrase.patterns:
        step(parsers.parse(_pattern))(_perform)


def pytest_bdd_before_step(request: pytest.FixtureRequest, feature: Feature, scenario: Scenario, step: Step, step_func: Any) -> None:
    request.node.stash[STEPS].enter(f"{step.keyword.strip()} {step.name}")


def pytest_bdd_after_step(request: pytest.FixtureRequest, step: Step) -> None:
    request.node.stash[STEPS].leave(None)


def pytest_bdd_step_error(request: pytest.FixtureRequest, step: Step, exception: BaseException) -> None:
    request.node.stash[STEPS].leave(exception)
    running = request.node.stash.get(RUNNING, None)
    if running and not _known(step.name):
        running.record.failures.append((Verdict.FAILED, f"{step.name}: {exception}"))


# -- the terminal ---------------------------------------------------------------------------------------------------------------


def _remember(config: pytest.Config, evidence: Evidence, reports: Mapping[str, Path], kept: str) -> None:
    from drplatform.engine import services
    from drplatform.reports import summary

    lines = config.stash.setdefault(TERMINAL, [])
    manual = services.manual(evidence)
    lines += [
        "",
        *summary.lines(evidence),
        *(["", manual] if manual else []),
        *(f"{name:8} {path.resolve()}" for name, path in reports.items()),
        *([kept] if kept else []),
    ]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if lines := config.stash.get(TERMINAL, []):
        terminalreporter.section("drills")
        for line in lines:
            terminalreporter.write_line(line)
