"""The drill that runs while an experiment does, kept in the experiment's configuration."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from chaoslib import substitute
from chaoslib.exceptions import ActivityFailed, InterruptExecution

from drplatform import environment
from drplatform.engine import phrases
from drplatform.engine.drill import Drill
from drplatform.environment import Environment, Settings
from drplatform.model import drill as drills
from drplatform.model import errors
from drplatform.model.backup import BackupKind
from drplatform.model.evidence import Evidence
from drplatform.model.policy import Policy
from drplatform.model.timeline import Event

KEY = "drplatform"
"""Where the session lies in the configuration."""

NOT_YET = "NOT YET JUDGED"

BUILDERS: Mapping[str, Callable[..., drills.Activity]] = {
    "back_up": lambda store, kind="full": drills.BackUp(store, BackupKind(kind), text=f"{store} has a {kind} backup"),
    "capture": lambda store: drills.Capture(store, text=f"the log of {store} is captured continuously"),
    "go_on_writing": lambda writes=100: drills.GoOnWriting(int(writes), text=f"clients have written {writes} more times to each store"),
    "inflict": lambda fault, parameters=None: drills.Inflict(fault, parameters or {}, text=f"{fault} happens: {parameters or {}}"),
    "heal": lambda: drills.Heal(text="the disaster is over, and what can be undone of it is undone"),
    "notice_damage": lambda store: drills.NoticeDamage(store, text=f"the damage of the backups of {store} is noticed"),
    "recover": lambda targets, region="primary", killed=False, hung="": _recover(drills.Recover(targets, region, killed, hung)),
    "restore_cluster": lambda: drills.RestoreCluster(text="the cluster is restored from its latest backup"),
    "restart": lambda stores, region="primary": drills.Restart(
        tuple(stores), region, text=f"the servers of {', '.join(stores)} in the {region} region are started again"
    ),
}
"""From the name of an action to the activity that it performs."""

MODULE = "drplatform.chaos.actions"


class Session:
    """One experiment's drill: planned from the experiment's own method before anything is started."""

    def __init__(self, experiment: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        self.env = Environment.open(_settings(configuration))
        self.scenario = scenario(experiment, configuration, self.env.policy)
        self.begun = False
        self.judged = False
        self._stack = ExitStack()
        self.drill: Drill = self._stack.enter_context(self.env.drill(self.scenario, _progress))

    def begin(self) -> None:
        """Perform what comes before the method: reference data and clients."""
        while isinstance(self.drill.upcoming(), drills.Steady | drills.Seed | drills.Write):
            self.drill.perform(self.drill.upcoming())

    def perform(self, action: str, **arguments: Any) -> str:
        """Perform the next activity of the plan, which must be what the action asks for. Raises ActivityFailed."""
        activity, asked = self.drill.upcoming(), BUILDERS[action](**arguments)
        if activity.text != asked.text:
            raise InterruptExecution(
                f"The plan comes to {activity.text!r} next, and the experiment to {asked.text!r}: an action was left out or runs beside "
                "another. Take `dry` and `background` from the actions of the method."
            )
        try:
            self.drill.perform(activity)
        except errors.DrplatformError as error:
            raise ActivityFailed(f"{activity.text}: {error}") from error
        return activity.text

    def judge(self) -> str:
        """Judge everything that the method was to show, and return the verdict's name."""
        if not self.judged:
            self.judged = True
            self._expect()
        return self.drill.verdict().name

    def _expect(self) -> None:
        for activity in self.scenario.activities[len(self.drill.record.results) :]:
            if not isinstance(activity, drills.Expect):
                return
            try:
                self.drill.perform(activity)
            except errors.DrplatformError:
                continue  # recorded: it decides the verdict

    def end(self) -> Evidence:
        """Judge if nobody has, heal, stop everything, and leave evidence."""
        with self._stack:
            self.judge()
            evidence = self.drill.conclude()
        self.env.conclude(evidence)
        return evidence


def _recover(activity: drills.Recover) -> drills.Recover:
    return replace(activity, text=f"recovery from backups {activity.told}brings back {_told(activity.targets)}")


def _told(targets: Mapping[str, str]) -> str:
    return ", ".join(f"{store} ({target})" for store, target in targets.items())


def scenario(experiment: Mapping[str, Any], configuration: Mapping[str, Any], policy: Policy) -> drills.Scenario:
    """The scenario that the experiment's method makes, on servers of its `stores` alone. Raises PlanError."""
    stores = tuple(configuration.get("stores") or ("mongodb", "redis", "files"))
    written = tuple(name for name in stores if name != drills.CLUSTER)
    kinds = frozenset(policy.stores[name].kind for name in stores if name in policy.stores)
    wanted = frozenset(configuration.get("wanted") or ())
    if unknown := wanted - {drills.WITNESS, drills.NAMES}:
        raise errors.PlanError(
            [f"`wanted` in the configuration may hold {drills.WITNESS} and {drills.NAMES}, not {', '.join(sorted(unknown))}"]
        )
    activities = [
        drills.Steady(wanted, kinds, text=" and ".join(("the platform runs in two regions", *sorted(wanted)))),
        drills.Seed(stores, text=f"{', '.join(stores)} hold reference data"),
        drills.Write(written, text=f"clients write to {', '.join(written)}"),
        *_method(experiment, configuration),
    ]
    resolved = phrases.with_needs([*activities, *_expectations(activities)], environment.fault)
    return drills.Scenario("Chaos Toolkit", str(experiment["title"]), tuple(experiment.get("tags") or ()), resolved, "experiment")


def _expectations(activities: Sequence[drills.Activity]) -> list[drills.Activity]:
    """What is judged: everything of which the method leaves something to judge."""
    effects = phrases.with_needs([a for a in activities if isinstance(a, drills.Inflict)], environment.fault)
    judged = ["answers", "rpo", "accounted", "nothing before", "reference"]
    if any(isinstance(a, drills.Inflict) and a.affects for a in effects):
        judged.append("rto")
    if any(isinstance(a, drills.Recover | drills.RestoreCluster) for a in activities):
        judged.append("backups")
    if any(isinstance(a, drills.RestoreCluster) for a in activities):
        judged.append("cluster")
    return [drills.Expect(judgement, text=f"judged: {judgement}") for judgement in drills.JUDGEMENTS if judgement in judged]


def _method(experiment: Mapping[str, Any], configuration: Mapping[str, Any]) -> list[drills.Activity]:
    found, problems = [], []
    for activity in experiment.get("method") or []:
        provider = activity.get("provider") or {}
        if activity.get("type") == "action" and provider.get("module") == MODULE:
            arguments = substitute(provider.get("arguments") or {}, configuration, {}) or {}
            if activity.get("background"):
                problems.append(f"the action {activity.get('name')!r} would run in the background; a drill's activities follow each other")
            try:
                found.append(BUILDERS[provider["func"]](**arguments))
            except (KeyError, TypeError, ValueError) as error:
                problems.append(f"the action {activity.get('name')!r} cannot be understood ({type(error).__name__}: {error})")
    if problems:
        raise errors.PlanError(problems)
    return found


def _settings(configuration: Mapping[str, Any]) -> Settings:
    def path(name: str) -> Path | None:
        return Path(str(configuration[name])) if configuration.get(name) else None

    seed = configuration.get("seed")
    return Settings.read(
        platform=configuration.get("platform"),
        seed=int(seed) if seed not in (None, "") else None,
        policy=path("policy"),
        reports=path("reports"),
    )


def _progress(event: Event) -> None:
    if event.name in ("step.begin", "fault.confirmed"):
        sys.stderr.write(f"    {event.detail.get('step') or 'disaster confirmed: ' + str(event.detail.get('fault'))}\n")


def of(configuration: Mapping[str, Any] | None) -> Session:
    """The session of the running experiment. Raises InterruptExecution when our control did not start one."""
    found = (configuration or {}).get(KEY)
    if not isinstance(found, Session):
        raise InterruptExecution("No drill is running: add the control drplatform.chaos.control to the experiment.")
    return found
