"""What a drill notes while it runs: disasters, backups, moves, what failed, what is in doubt. Judges nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from drplatform.engine import cluster_drill, configuration_drill
from drplatform.engine.divergence import Divergence
from drplatform.engine.naming import Pointed, PublicName
from drplatform.model import drill, errors, ports
from drplatform.model.backup import Digest, Manifest
from drplatform.model.position import Position
from drplatform.model.verdict import Verdict

SUSTAIN = 0.5
"""A service counts as back when it was then seen working for so many seconds without a failure."""

SWITCHOVER = "switchover"
"""The name under which a planned change of regions stands among the faults of a drill that has no other."""


@dataclass(frozen=True)
class Waypoint:
    """Everything acknowledged before `moment` (monotonic seconds) is at or before `position` in the store's history."""

    store: str
    moment: float
    position: Position


@dataclass(frozen=True)
class Move:
    """Service moved to a region. Monotonic seconds: when it was begun, and when users were seen served throughout after it."""

    region: str
    began: float
    back: float


@dataclass
class Record:
    """What a drill notes while it runs."""

    effects: list[ports.FaultEffect] = field(default_factory=list)
    waypoints: list[Waypoint] = field(default_factory=list)
    backups: list[Manifest] = field(default_factory=list)
    reference: dict[str, Mapping[str, Digest]] = field(default_factory=dict)
    recoveries: Mapping[str, Any] = field(default_factory=dict)
    divergences: list[Divergence] = field(default_factory=list)
    pointed: list[Pointed] = field(default_factory=list)
    remembering: Mapping[str, PublicName] = field(default_factory=dict)
    """By store, its name as clients use it who believe an answer as long as they may."""
    fences: dict[str, float] = field(default_factory=dict)
    """By store, when (monotonic seconds) a failover had fenced it."""
    configuration: configuration_drill.ConfigurationRecovery | None = None
    cluster: cluster_drill.ClusterRecovery | None = None
    defects: Sequence[str] = ()
    """What the cluster found wrong with itself before the disaster."""
    moves: list[Move] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    failures: list[tuple[Verdict, str]] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    served: dict[str, float] = field(default_factory=dict)
    """By store, the moment (monotonic seconds) at which its users were last seen served without a failure, before the probers were stopped."""

    def ended(self) -> None:
        """The next sentence of the scenario ran."""
        self.results.append("passed")

    def failed(self, text: str, error: BaseException) -> None:
        self.results.append(f"failed: {sentence(error)}")
        self.failures.append((weight(error, bool(self.effects)), f"{text}: {sentence(error)}"))

    def doubt(self, act: Callable[[], object]) -> None:
        """Do it; an error is a doubt of the whole run, not the end of it."""
        try:
            act()
        except errors.DrplatformError as error:
            if (text := sentence(error)) not in self.doubts:
                self.doubts.append(text)


def sentence(error: BaseException) -> str:
    return str(error) if isinstance(error, errors.DrplatformError) else f"{type(error).__name__}: {error}".strip()


def weight(error: BaseException, struck: bool) -> Verdict:
    """A failure of recovery fails the drill; anything before the first disaster, or unforeseen, proves nothing."""
    failing = isinstance(error, errors.DrplatformError) and not isinstance(error, errors.Inconclusive | errors.NothingTouched)
    return Verdict.FAILED if failing and struck else Verdict.INCONCLUSIVE


def broken_off(plan: drill.Plan, record: Record) -> bool:
    """Whether anything but an expectation did not run, or failed."""
    results = [*record.results, *["not run"] * len(plan.scenario.activities)]
    pairs = zip(plan.scenario.activities, results, strict=False)
    return any(result != "passed" for activity, result in pairs if not isinstance(activity, drill.Expect))
