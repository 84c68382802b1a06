"""A drill as data: its activities, and the plan that is checked before anything is touched.

An activity is what one sentence of a scenario asks for. A plan is the activities with all that must be known to run them; making
one is pure, and lists every problem at once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from drplatform.model import errors
from drplatform.model.backup import BASES, BackupKind
from drplatform.model.policy import Policy

WITNESS = "witness"
"""A third place with a member of MongoDB, so that any two places are a majority."""
CLUSTER = "kubernetes"
"""The store of a cluster's manifests. Clients do not write to it: its loss is told by comparison."""
NAMES = "names"
NAME_SERVER = "name-server"
SKEWABLE = "skewable"
ONE_WAY = "one-way-for-clients"
"""What clients send can be lost on the way, while answers pass."""
REMEDIES = {
    "copied": "name the cluster by its kubeconfig: DRPLATFORM_KUBECONFIG",
    SKEWABLE: "install libfaketime, with pip install 'drplatform[embedded]'; on Docker into the image: drplatform platform images build",
    ONE_WAY: "let `sources` be other regions, or cut it both ways",
    NAMES: "make it with `platform up --names`, or begin a scenario with: Given the platform runs in two regions behind public names",
    NAME_SERVER: "make it with `platform up --names`, or begin a scenario with: Given the platform runs in two regions behind public names",
}
"""For capabilities that a platform may lack for want of something, what to do about it."""
"""Public names in a name server, which can be pointed to another region."""
LINKS = "links"
"""What hinders the network stands before the servers from the start, where a platform needs something for that: no fault restarts them."""
HOW = "links:"
"""Wanted, with each way in which the network will be hindered."""
ALONE = "alone:"
"""Wanted of a platform, with the kind of a server that is used: it may leave out what is not."""


@dataclass(frozen=True)
class Activity:
    """What one sentence asks for. `text` is the sentence."""

    text: str = field(default="", kw_only=True)

    def needs(self) -> frozenset[str]:
        """Capabilities that the platform and its stores must have."""
        return frozenset()


@dataclass(frozen=True)
class Steady(Activity):
    """The platform serves, before anything is done to it. `wanted`: what it must have beside its two regions (WITNESS, NAMES).

    `kinds` of servers are all that is used, so that a platform made for the run may leave out the others (none: all are).
    """

    wanted: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()

    def needs(self) -> frozenset[str]:
        return self.wanted


@dataclass(frozen=True)
class Seed(Activity):
    """The stores hold reference content, which no client changes: so many `items` (0: as many as is usual)."""

    stores: tuple[str, ...]
    items: int = 0

    def needs(self) -> frozenset[str]:
        return frozenset(f"store:{store}" for store in self.stores)


@dataclass(frozen=True)
class Write(Activity):
    """Clients write to the stores from here on, every write recorded in the ledger; probers use the stores as users do."""

    stores: tuple[str, ...]
    weakly: bool = False
    """Acknowledged by the primary alone, not by a majority of its group."""

    def needs(self) -> frozenset[str]:
        return frozenset(f"store:{store}" for store in self.stores)


@dataclass(frozen=True)
class Stay(Activity):
    """Further clients write to the servers of one region, whoever serves, until the region comes back; MongoDB acknowledges by its primary alone."""

    stores: tuple[str, ...]
    region: str

    def needs(self) -> frozenset[str]:
        return frozenset({"regions", *(f"store:{store}" for store in self.stores)})


@dataclass(frozen=True)
class Replicate(Activity):
    """Our follower keeps the region's copy of the store as it is where it serves, for stores without replication of their own."""

    store: str
    region: str = "secondary"

    def needs(self) -> frozenset[str]:
        return frozenset({f"store:{self.store}", f"followed:{self.store}", "regions"})


@dataclass(frozen=True)
class FailOver(Activity):
    """The region takes over all stores from the one that is lost."""

    region: str

    def needs(self) -> frozenset[str]:
        return frozenset({"regions", "provision"})


@dataclass(frozen=True)
class SwitchOver(Activity):
    """The region takes over all stores as planned, from one that works."""

    region: str

    def needs(self) -> frozenset[str]:
        return frozenset({"regions", "provision"})


@dataclass(frozen=True)
class Rejoin(Activity):
    """A region that was lost comes back as a follower; what it alone had is saved first."""

    region: str

    def needs(self) -> frozenset[str]:
        return frozenset({"regions", "provision"})


@dataclass(frozen=True)
class GoOnWriting(Activity):
    """Wait until every store has acknowledged this many further writes."""

    writes: int


@dataclass(frozen=True)
class BackUp(Activity):
    store: str
    kind: BackupKind

    def needs(self) -> frozenset[str]:
        return frozenset({f"store:{self.store}"})


@dataclass(frozen=True)
class Capture(Activity):
    """The store's log is captured continuously from here on."""

    store: str

    def needs(self) -> frozenset[str]:
        return frozenset({f"log:{self.store}"})


@dataclass(frozen=True)
class Inflict(Activity):
    """A disaster: the kind of a fault and its parameters. `requires` are the fault's own needs, `affects` the stores it concerns."""

    fault: str
    parameters: Mapping[str, Any]
    requires: frozenset[str] = frozenset()
    affects: frozenset[str] = frozenset()

    def needs(self) -> frozenset[str]:
        return frozenset({f"fault:{self.fault}"}) | self.requires


LATEST = "latest"
BEFORE_DROP = "before the drop"
BEFORE_FAULT = "before the fault"
ONE_MOMENT = "one moment"


@dataclass(frozen=True)
class Heal(Activity):
    """Every disaster is over: what can be undone of it is undone, and users are served again."""


@dataclass(frozen=True)
class NoticeDamage(Activity):
    """Somebody looks at the backups of the store, and sees that they are not as they were left."""

    store: str

    def needs(self) -> frozenset[str]:
        return frozenset({f"store:{self.store}"})


@dataclass(frozen=True)
class LoseKey(Activity):
    """The private key of the backups is lost; `needed` of its `holders` bring it back."""

    needed: int
    holders: int


KILLED, HUNG = "killed", "hung"
RESTORING = "restore"
HANGS = ("decide", "provision", RESTORING, "verify", "switch", "rejoin", "protect")
"""Phases of a recovery that can be made to hang. What went before may already hold where fencing or detection hang: that would prove nothing."""


@dataclass(frozen=True)
class Recover(Activity):
    """Recover stores into new servers of the region from their backups alone: each to LATEST, BEFORE_DROP or, all together, ONE_MOMENT.

    `killed`: each restore is first begun in a process that is killed in the middle, and then gone on with.
    `hung`: one of HANGS; the steps of that phase first hang and are given up, then done.
    """

    targets: Mapping[str, str]
    region: str = "primary"
    killed: bool = False
    hung: str = ""

    @property
    def cut_off(self) -> str:
        """How each restore does not get to its end at first: KILLED, HUNG or not at all."""
        return KILLED if self.killed else HUNG if self.hung == RESTORING else ""

    @property
    def told(self) -> str:
        """What happens to the recovery, in words that go on with what it does."""
        killed = "is killed half-way, begun again, and " if self.killed else ""
        return killed + (f"hangs at {self.hung}, is begun again, and " if self.hung else "")

    def needs(self) -> frozenset[str]:
        resumed = {f"resumable:{store}" for store in self.targets if self.cut_off}
        return frozenset({"provision", *(f"store:{store}" for store in self.targets), *resumed})


@dataclass(frozen=True)
class RestoreConfiguration(Activity):
    """The configuration is restored beside, from its latest backup, compared, and put in its place."""

    def needs(self) -> frozenset[str]:
        return frozenset({"store:configuration"})


@dataclass(frozen=True)
class RestoreCluster(Activity):
    """The objects of the cluster are restored from its latest backup, compared with it, and the cluster's health is looked at."""

    def needs(self) -> frozenset[str]:
        return frozenset({f"store:{CLUSTER}"})


@dataclass(frozen=True)
class FindDamage(Activity):
    """What happened to the backups of the store must be found, by what a recovery looks at before it restores anything."""

    store: str

    def needs(self) -> frozenset[str]:
        return frozenset({f"store:{self.store}"})


@dataclass(frozen=True)
class Restart(Activity):
    """The servers of these stores in the region are started again on the disks that they have."""

    stores: tuple[str, ...]
    region: str = "primary"

    def needs(self) -> frozenset[str]:
        return frozenset(f"store:{store}" for store in self.stores)


@dataclass(frozen=True)
class DeployServices(Activity):
    """The policy's services are deployed and active where the platform serves; the critical ones deployed, but inactive, elsewhere."""

    def needs(self) -> frozenset[str]:
        return frozenset({"services"})


@dataclass(frozen=True)
class BringUpServices(Activity):
    """The service recovery: services are deployed anew and started in the order of their dependencies, tried, and signed for."""

    region: str = "primary"

    def needs(self) -> frozenset[str]:
        return frozenset({"services"})


@dataclass(frozen=True)
class Expect(Activity):
    """A judgement: one of JUDGEMENTS, on the given stores (empty: all that were recovered, or written to)."""

    judgement: str
    stores: tuple[str, ...] = ()


JUDGEMENTS = (
    "answers",
    "rto",
    "rpo",
    "accounted",
    "nothing before",
    "reference",
    "backups",
    "cluster",
    "one primary",
    "saved",
    "kept",
    "fenced",
    "failback",
)


PATIENCE = 1800.0
"""Seconds after which an activity that does not end counts as hanging."""


def patience(activity: Activity, policy: Policy) -> float:
    """Seconds that the activity may take. What moves data, or brings it back: twice the recovery time target, where that is more.

    After so long it has missed the target, whatever comes of it.
    """
    if isinstance(activity, Steady | Write | Stay | GoOnWriting | Heal | Restart):
        return PATIENCE
    stores = activity.targets if isinstance(activity, Recover) else policy.stores
    return max([PATIENCE, *(2 * policy.rto(store) for store in stores if store in policy.stores)])


@dataclass(frozen=True)
class Scenario:
    """A drill before it was planned: `tags` without their @."""

    feature: str
    name: str
    tags: tuple[str, ...]
    activities: tuple[Activity, ...]
    source: str = ""

    @property
    def wanted(self) -> frozenset[str]:
        """What the platform must have beside its two regions, and, as ALONE, which kinds of servers."""
        needs = [need for a in self.activities if isinstance(a, Inflict) for need in a.requires]
        hows = {need.partition("-network:")[0] for need in needs if "-network:" in need}
        steady = [a for a in self.activities if isinstance(a, Steady)]
        alone = {f"{ALONE}{kind}" for a in steady for kind in a.kinds}
        return frozenset({LINKS, *(f"{HOW}{how}" for how in hows)} if hows else ()).union(alone, *(a.wanted for a in steady))

    @property
    def cadence(self) -> str:
        return next((tag for tag in self.tags if tag in ("monthly", "quarterly", "biannual")), "on demand")


@dataclass(frozen=True)
class Plan:
    scenario: Scenario
    policy: Policy
    seed: int

    def of(self, kind: type[Activity]) -> list[Any]:
        return [activity for activity in self.scenario.activities if isinstance(activity, kind)]

    @property
    def stores(self) -> tuple[str, ...]:
        """The stores that clients write to, in the order of the scenario."""
        return tuple(dict.fromkeys(store for write in self.of(Write) for store in write.stores))

    @property
    def unreplicated(self) -> tuple[str, ...]:
        """The stores that a follower of ours replicates."""
        return tuple(dict.fromkeys(a.store for a in self.of(Replicate)))

    @property
    def recovered(self) -> Mapping[str, str]:
        """The stores that are recovered, with their targets."""
        return {store: target for recover in self.of(Recover) for store, target in recover.targets.items()}


def plan(scenario: Scenario, policy: Policy, seed: int, offered: frozenset[str]) -> Plan:
    """The plan of the scenario. Raises PlanError with everything that is missing, in the platform or in the scenario itself."""
    problems = [*_missing(scenario, offered), *_unsound(scenario, policy)]
    if problems:
        raise errors.PlanError(problems)
    return Plan(scenario, policy, seed)


def _missing(scenario: Scenario, offered: frozenset[str]) -> Iterable[str]:
    for activity in scenario.activities:
        lacking = sorted(activity.needs() - offered)
        if lacking:
            yield f"{activity.text!r} needs {told(lacking)}, which this platform does not offer"


def told(lacking: Iterable[str]) -> str:
    """Capabilities with what can be done about them."""
    remedies = ((one, REMEDIES.get(one.partition(":")[0])) for one in sorted(lacking))
    return ", ".join(f"{one} ({remedy})" if remedy else one for one, remedy in remedies)


def _unsound(scenario: Scenario, policy: Policy) -> Iterable[str]:
    """What would make the scenario prove nothing, whatever happens."""
    yield from _missing_kinds(scenario)
    written, based, captured, hurt = set[str](), set[str](), set[str](), set[str]()
    for activity in scenario.activities:
        match activity:
            case Write(stores=stores):
                written.update(stores)
                yield from (f"the policy names no store {s!r}" for s in stores if s not in policy.stores)
            case BackUp(store=store, kind=kind) if kind in BASES:
                based.add(store)
            case Capture(store=store):
                captured.add(store)
            case Inflict(affects=affects):
                hurt.update(affects)
                yield from (
                    f"{activity.text!r} hurts {s}, but no client writes to it before" for s in sorted(affects - written - {CLUSTER})
                )
            case Stay(stores=stores) if set(stores) - written:
                yield f"{activity.text!r} has clients stay, but no client writes to {', '.join(sorted(set(stores) - written))} before"
            case FailOver() if not hurt:
                yield f"{activity.text!r} fails over, but nothing has happened to any region"
            case RestoreCluster() if CLUSTER not in based or CLUSTER not in hurt:
                yield f"{activity.text!r} restores a cluster of which no backup was taken, or to which nothing has happened"
            case RestoreCluster() if not {CLUSTER, "configuration"} & {*policy.stores, *(s.data_class for s in policy.stores.values())}:
                yield f"{activity.text!r} has no target; name a store of the data class configuration in the policy"
            case Recover(targets=targets):
                yield from _unstoppable(activity)
                yield from _unrecoverable(activity.text, targets, based, captured, hurt)


def _missing_kinds(scenario: Scenario) -> Iterable[str]:
    required: Mapping[Any, str] = {
        Write: "no client writes, so no loss could be seen",
        (Inflict, SwitchOver): "no disaster happens, and nothing is moved",
        Expect: "nothing is expected, so nothing can pass",
    }
    for kind, sentence in required.items():
        if not any(isinstance(a, kind) for a in scenario.activities):
            yield f"the scenario {scenario.name!r} proves nothing: {sentence}"


def _unstoppable(activity: Recover) -> Iterable[str]:
    if activity.hung and activity.hung not in HANGS:
        yield f"{activity.text!r} cannot hang at {activity.hung}; it can at {', '.join(HANGS)}"
    if activity.killed and activity.hung == RESTORING:
        yield f"{activity.text!r} has its restores killed, so they cannot hang; choose one of the two"
    if activity.cut_off and set(activity.targets.values()) != {LATEST}:
        yield f"{activity.text!r} can be {activity.cut_off} and begun again as of the latest backup only"


def struck(scenario: Scenario, killed: bool, hung: str) -> Scenario:
    """The scenario with each recovery in it hit. Raises PlanError when there is none."""

    def hit(activity: Activity) -> Activity:
        if not isinstance(activity, Recover):
            return activity
        changed = replace(activity, killed=killed or activity.killed, hung=hung or activity.hung)
        return replace(changed, text=f"{activity.text} ({changed.told.removesuffix(', and ')})")

    if not any(isinstance(a, Recover) for a in scenario.activities):
        raise errors.PlanError(f"no recovery from backups is in the scenario {scenario.name!r}, so none can be killed or hang")
    return replace(scenario, activities=tuple(map(hit, scenario.activities)))


def _unrecoverable(text: str, targets: Mapping[str, str], based: set[str], captured: set[str], hurt: set[str]) -> Iterable[str]:
    for store, target in targets.items():
        if store not in based:
            yield f"{text!r} recovers {store}, of which no full backup was taken"
        if store not in hurt:
            yield f"{text!r} recovers {store}, to which nothing has happened"
        if target in (BEFORE_DROP, BEFORE_FAULT) and store not in captured:
            yield f"{text!r} recovers {store} to a moment, but its log is not captured"
