"""The runbooks of all components, read from the recoveries that run: nothing is written twice. Does nothing to any platform."""

from collections.abc import Iterable, Mapping

from drplatform.engine import cluster_drill, configuration_drill, failover, recovery, runbook, services
from drplatform.engine.kit import Kit
from drplatform.model import drill, instructions
from drplatform.model.instructions import Book, Instruction
from drplatform.model.timeline import Timeline

WHEN = "Users of {store} are not served, and its servers do not come back by themselves; or its data are wrong."

WHICH_POINT = "The latest, unless the data were wrong before the outage: then the moment just before they became so."


MOVES: Mapping[str, tuple[str, str]] = {
    "failover": ("Failover to the secondary region", "The primary region does not serve users any more, and will not do so within the recovery time objective."),
    "switchover": ("Planned switchover to the secondary region", "The primary region is to be left as planned; both regions are well."),
    "rejoin": ("The lost region comes back", "The servers of the region that was lost can be reached again. They must not serve: what they alone have comes first."),
}  # fmt: skip
"""By component: title, and when it is followed."""


def books(kit: Kit, stores: Iterable[str]) -> tuple[Book, ...]:
    """One runbook for each store: its recovery from backups alone."""
    return tuple(_book(kit, store) for store in stores)


def more_books(kit: Kit, stores: tuple[str, ...]) -> tuple[Book, ...]:
    """The runbooks of the services, of the cluster, and of the moves between regions. The kit's platform has two regions with services."""
    timeline = Timeline(kit.clock)
    up = services.ServiceRecovery(kit, timeline, kit.platform.regions[0].name).steps()
    cluster = cluster_drill.ClusterRecovery(kit, timeline, {}, (), recovery.Recovered(cluster_drill.STORE, drill.LATEST)).steps()
    why = "The stores are back, and nothing serves users yet; or a service does not come back by itself."
    gone = "Objects of the cluster are missing or wrong, or the cluster itself is gone and an empty one takes its place."
    return (
        Book("services", "Recovery of the services", why, tuple(_instructions(up, "services"))),
        Book("cluster", "Recovery of the Kubernetes cluster", gone, tuple(_instructions(cluster, "cluster"))),
        *(Book(name, title, when, tuple(_instructions(_move(kit, stores, name), "regions"))) for name, (title, when) in MOVES.items()),
    )


def _move(kit: Kit, stores: tuple[str, ...], name: str) -> tuple[runbook.Step | runbook.Together, ...]:
    old, new = (region.name for region in kit.platform.regions[:2])
    regions = failover.Regions(kit, Timeline(kit.clock), _Blind(), stores, old)
    return {"failover": regions.failover(new), "switchover": regions.switchover(new), "rejoin": regions.rejoining(old)}[name]


class _Blind:
    """A watch for steps that are only read."""

    def down(self, store: str) -> bool:
        return False

    def served(self, store: str, since: float) -> bool:
        return False


def steps(kit: Kit, store: str) -> tuple[runbook.Step | runbook.Together, ...]:
    """The steps that the recovery of the store follows, not followed yet."""
    if kit.policy.stores[store].kind == configuration_drill.STORE:
        state = recovery.Recovered(store, drill.LATEST)
        return configuration_drill.ConfigurationRecovery(kit, Timeline(kit.clock), {}, state).steps()
    plan = recovery.Recovery(kit, Timeline(kit.clock), {}, {store: drill.LATEST}, kit.platform.regions[0].name, lambda: None, {})
    return plan.steps()


def _book(kit: Kit, store: str) -> Book:
    listed = tuple(_instructions(steps(kit, store), store))
    return Book(store, f"Recovery of {store} from its backups", WHEN.format(store=store), listed)


def _instructions(entries: Iterable[runbook.Step | runbook.Together], store: str) -> Iterable[Instruction]:
    for entry in entries:
        for number, lane in enumerate(lanes(entry)):
            for place, step in enumerate(lane):
                together = number > 0 and place == 0
                why = WHICH_POINT if step.phase == "decide" and store != "regions" else step.why
                yield instructions.instruction(step.name, step.phase, why, step.timeout, store, together=together)


def lanes(entry: runbook.Step | runbook.Together) -> tuple[tuple[runbook.Step, ...], ...]:
    """What goes on at once: each lane is steps in their order."""
    if isinstance(entry, runbook.Step):
        return ((entry,),)
    return tuple(lane if isinstance(lane, tuple) else (lane,) for lane in entry.steps)
