"""The control of an experiment: plans and starts the drill before it, stops it at a failed action, and decides how it ends.

Chaos Toolkit by itself ends green when an action raised, when nothing took effect, and after a dry run. With this control an experiment is
green only when the drill's verdict is PASSED.
"""

from typing import Any

from chaoslib.exceptions import InterruptExecution

from drplatform.chaos import session
from drplatform.model import errors
from drplatform.model.verdict import Verdict


def before_experiment_control(context: dict[str, Any], configuration: dict[str, Any], **_: Any) -> None:
    """Plan the drill from the whole method, start the platform, and let clients write. Refuses before anything is touched."""
    if context.get("dry"):
        return
    try:
        running = session.Session(context, configuration)
    except errors.DrplatformError as error:
        raise InterruptExecution(str(error)) from error
    configuration[session.KEY] = running
    try:
        running.begin()
    except errors.DrplatformError as error:
        raise InterruptExecution(str(error)) from error


def before_method_control(context: dict[str, Any], configuration: dict[str, Any], **_: Any) -> None:
    """From here on there is something to judge."""
    if session.KEY in configuration:
        session.of(configuration).begun = True


def after_activity_control(context: dict[str, Any], state: dict[str, Any], **_: Any) -> None:
    """A failed action of ours stops the experiment: what comes after it would prove nothing."""
    ours = (context.get("provider") or {}).get("module") == session.MODULE
    if ours and state.get("status") == "failed":
        raise InterruptExecution(f"The action {context['name']!r} failed; the experiment is stopped and everything healed.")


def after_experiment_control(context: dict[str, Any], state: dict[str, Any], configuration: dict[str, Any], **_: Any) -> None:
    """Heal, leave evidence, and make the journal say what the verdict is."""
    running = configuration.pop(session.KEY, None)
    if running is None:
        _not_green(
            state, {"verdict": Verdict.INCONCLUSIVE.name, "summary": "No drill ran: this was a dry run, or it could not be planned."}
        )
        return
    evidence = running.end()
    report = {"verdict": evidence.verdict.name, "summary": evidence.summary, "evidence": evidence.to_json()}
    if evidence.verdict is Verdict.PASSED:
        state["drplatform"] = report
    else:
        _not_green(state, report)


def _not_green(journal: dict[str, Any], report: dict[str, Any]) -> None:
    journal["drplatform"] = report
    journal["deviated"] = True
    if journal.get("status") == "completed":
        journal["status"] = "failed"
