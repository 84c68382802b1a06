"""A namespace of a Kubernetes cluster comes back from its backup, and the cluster is as it should be afterwards.

No client of the ledger writes manifests, so nobody's probe tells when they are back: they are back when the cluster itself shows no
difference from the backup, and no defect that it did not have before.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from drplatform.engine import backups, runbook
from drplatform.engine.backups import reading
from drplatform.engine.kit import Kit
from drplatform.engine.recovery import Recovered
from drplatform.model import drill, errors, ports
from drplatform.model.backup import Digest
from drplatform.model.clock import Interval
from drplatform.model.policy import Policy
from drplatform.model.timeline import Timeline
from drplatform.model.verdict import Check, Measurement, check

STORE = drill.CLUSTER
SECONDS = 900.0
SHOWN = 5
"""Of what a server refused, or what differs, so many are told."""


@dataclass
class ClusterRecovery:
    """Follow it once; then `state` tells what was restored, and `back` when it was seen to be whole (monotonic seconds).

    `reference` are the digests of before the disaster, `defects` what the cluster itself found wrong with itself then.
    """

    kit: Kit
    timeline: Timeline
    reference: Mapping[str, Digest]
    defects: Sequence[str]
    state: Recovered
    back: Interval | None = None

    def follow(self) -> None:
        """Raises RecoveryFailed naming the step that did not come true."""
        runbook.follow(self.steps(), self.kit.clock, self.timeline)
        after = self.kit.clock.monotonic()
        self.back = Interval(after, after)

    def steps(self) -> tuple[runbook.Step, ...]:
        state = self.state
        return (
            runbook.Step("See that the cluster is not as it was", "detect", lambda: None, self._differs, 30, "Objects are missing."),
            runbook.Step("Choose the backup of the cluster", "decide", self._choose, lambda: state.chain is not None, 60),
            runbook.Step("Restore the cluster in the order of dependencies", "restore", self._restore, lambda: state.end is not None, SECONDS, "Definitions, namespaces, accounts and roles, secrets, storage, services, workloads; what is there already is not touched."),
            runbook.Step("Compare the cluster with its backup", "verify", lambda: None, lambda: not self.differences(), 120, "Every difference has to have a reason."),
            runbook.Step("See that the cluster is healthy", "verify", lambda: None, lambda: not self.sickness(defects(self.kit)), 300, "API, nodes, system pods, name service, storage classes."),
        )  # fmt: skip

    def differences(self, after: Sequence[reading.Part] | None = None) -> list[str]:
        """What is otherwise than in the backup: in the cluster, or in other parts of a backup."""
        return [str(change) for change in _inspectable(self.kit).differences(self.parts(), after)]

    def parts(self) -> list[reading.Part]:
        assert self.state.chain
        return reading.parts(self.state.chain.base, self.kit.repository, backups.Opener(self.kit.keys.identities))

    def sickness(self, found: Sequence[str]) -> list[str]:
        """The defects that the disaster or the recovery has brought."""
        return [defect for defect in found if defect not in self.defects]

    def _differs(self) -> bool:
        return dict(self.kit.stores[STORE].digest()) != dict(self.reference)

    def _choose(self) -> None:
        self.state.chain = backups.Catalogue(self.kit.repository).chain_to(STORE)

    def _restore(self) -> None:
        assert self.state.chain
        store, opener = self.kit.stores[STORE], backups.Opener(self.kit.keys.identities)
        lease = backups.Lease(STORE, store.identity())
        self.state.end = backups.restore(self.state.chain, store, self.kit.repository, opener, lease, self.kit.clock)
        if refused := self.state.end.refused:
            raise errors.RecoveryFailed(f"{len(refused)} objects are not as in the backup: {'; '.join(refused[:SHOWN])}.")


def defects(kit: Kit) -> list[str]:
    """What the cluster finds wrong with itself now."""
    store = kit.stores[STORE]
    assert isinstance(store, ports.Verifiable)  # the store of clusters is
    return store.validate()


def parts(
    plan: drill.Plan, kit: Kit, run: ClusterRecovery | None, effects: Sequence[ports.FaultEffect]
) -> Iterator[tuple[str, Measurement | Check]]:
    """Recovery time, loss, reference data, and what the cluster is like afterwards, by judgement; nothing when it was not recovered."""
    effect = next((e for e in effects if STORE in e.affects), None)
    if run is None or run.state.chain is None or effect is None:
        return
    yield "rto", _rto(plan.policy, run, effect)
    yield "rpo", _rpo(plan.policy, run, effect)
    yield "reference", _reference(kit, run)
    yield "cluster", _faithful(run)
    yield "cluster", _healthy(kit, run)


def _rto(policy: Policy, run: ClusterRecovery, effect: ports.FaultEffect) -> Measurement:
    target = policy.objectives.rto[policy.stores[_alike(policy)].tier]
    if run.back is None:
        return Measurement("rto", STORE, target, None, "the cluster was not seen to be whole again")
    taken = Interval(max(0.0, run.back.lower - effect.effect.upper), run.back.upper - effect.effect.lower)
    return Measurement("rto", STORE, target, taken)


def _rpo(policy: Policy, run: ClusterRecovery, effect: ports.FaultEffect) -> Measurement:
    """Whatever was changed after the backup began would be gone: at the most the time from there to the disaster."""
    target = policy.objectives.rpo[policy.stores[_alike(policy)].data_class]
    begun = [e.at.monotonic for e in run.timeline.named("backup.begin", store=STORE)]
    if not begun:
        return Measurement("rpo", STORE, target, None, "when the backup began is not known")
    return Measurement("rpo", STORE, target, Interval(0.0, max(0.0, effect.effect.upper - begun[-1])))


def _alike(policy: Policy) -> str:
    """The store of the policy whose targets are those of the cluster: itself, else the one that keeps configuration."""
    known = [name for name, store in policy.stores.items() if name == STORE or store.data_class == "configuration"]
    return STORE if STORE in known else known[0]


def _reference(kit: Kit, run: ClusterRecovery) -> Check:
    def changed(actual: Mapping[str, Digest]) -> list[str]:
        names = sorted(run.reference.keys() | actual.keys())
        return [f"{n} changed" for n in names if run.reference.get(n) != actual.get(n)]

    actual = kit.stores[STORE].digest()
    name = next(iter(run.reference))
    planted = {**actual, name: dataclasses.replace(run.reference[name], value="0" * len(run.reference[name].value))}
    items = sum(d.items for d in run.reference.values())
    return check(
        f"{STORE} has its reference data unchanged",
        changed,
        actual,
        planted,
        f"{items} objects in {len(planted)} sections are as they were",
    )


def _faithful(run: ClusterRecovery) -> Check:
    """The planted defect: a cluster that holds everything but the objects of one section."""

    def differs(after: Callable[[], Sequence[reading.Part] | None]) -> list[str]:
        return run.differences(after())[:SHOWN]

    return check(
        f"the cluster of {STORE} has no unexplained difference from its backup",
        differs,
        lambda: None,
        lambda: run.parts()[1:],
        f"every object of backup {run.state.chain.base.id if run.state.chain else ''} is there as it was, and no other",
    )


def _healthy(kit: Kit, run: ClusterRecovery) -> Check:
    """The planted defect: a node that is not there."""
    found = defects(kit)
    known = f"; as before the disaster: {'; '.join(run.defects)}" if run.defects else ""
    return check(
        f"the cluster of {STORE} is healthy", run.sickness, found, [*found, "Node nowhere is not ready"], f"no defect has come{known}"
    )


def _inspectable(kit: Kit) -> ports.Inspectable:
    store = kit.stores[STORE]
    assert isinstance(store, ports.Inspectable)  # the store of clusters is
    return store
