"""Gherkin sentences, and the steps of a recovery below them, as nested Allure steps; evidence as attachments.

Does nothing where allure-pytest writes no results (no --alluredir).
"""

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import allure
import pytest

from drplatform.model import controls
from drplatform.model.drill import Scenario
from drplatform.model.evidence import Evidence
from drplatform.model.timeline import Event

EXTENSIONS = {"text/html": "html", "application/json": "json", "image/svg+xml": "svg", "text/csv": "csv"}


def active(config: pytest.Config) -> bool:
    return bool(config.getoption("allure_report_dir", None))


class Steps:
    """The Allure steps of one scenario. Recovery steps that ran in other threads are added when their sentence ends."""

    def __init__(self, config: pytest.Config) -> None:
        self._active = active(config)
        self._open: AbstractContextManager[object] | None = None
        self._inner: list[str] = []
        self._began: dict[str, float] = {}
        self._lock = threading.Lock()

    def enter(self, title: str) -> None:
        if self._active:
            self._open = allure.step(title)
            self._open.__enter__()

    def leave(self, error: BaseException | None) -> None:
        if self._open:
            for title in self._take():
                with allure.step(title):
                    pass
            self._open.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)
            self._open = None

    def event(self, event: Event) -> None:
        """A listener of the timeline."""
        with self._lock:
            if event.name == "step.begin":
                self._began[event.detail["step"]] = event.at.monotonic
            elif event.name == "step.end":
                seconds = event.at.monotonic - self._began[event.detail["step"]]
                self._inner.append(f"{event.detail['step']} ({seconds:.2f} s)")

    def _take(self) -> list[str]:
        with self._lock:
            taken, self._inner = self._inner, []
            return taken


def label(feature: str, scenario: Scenario) -> None:
    """Where the scenario stands in Allure's trees, and its severity by tier."""
    allure.dynamic.epic(f"{scenario.cadence.capitalize()} drills")
    allure.dynamic.feature(feature)
    allure.dynamic.story(scenario.name)
    allure.dynamic.title(scenario.name)
    allure.dynamic.severity(allure.severity_level.CRITICAL if "critical" in scenario.tags else allure.severity_level.NORMAL)
    for tag in sorted(scenario.tags):
        if control := controls.BY_MARK.get(tag):
            allure.dynamic.link(control.text, name=control.name)
        allure.dynamic.tag(tag)


def attach(config: pytest.Config, evidence: Evidence, record: Mapping[str, Any]) -> None:
    """Attach what the evidence holds to the running test, and write Allure's environment and categories beside the results."""
    if not active(config):
        return
    from drplatform.reports import allure as report  # brings templates and more: only where results are written

    for name, kind, content in report.attachments(evidence, record):
        allure.attach(content, name=name, attachment_type=kind, extension=EXTENSIONS.get(kind, "txt"))
    report.write_surroundings(config.getoption("allure_report_dir"), evidence)
