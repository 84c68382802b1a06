"""A directory of configuration comes back from its backup: restored beside, compared with its backup, then put in its place.

No client of the ledger writes configuration, so nobody's probe tells when it is back: it is back when what stands in its place is what
was backed up, byte for byte.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drplatform.engine import backups, runbook
from drplatform.engine.kit import Kit
from drplatform.engine.recovery import Recovered
from drplatform.model import drill, errors, ports, powers
from drplatform.model.backup import Digest, Manifest
from drplatform.model.clock import Interval
from drplatform.model.timeline import Timeline
from drplatform.model.verdict import Check, Measurement, check

STORE = "configuration"
SECONDS = 600.0


@dataclass
class ConfigurationRecovery:
    """Follow it once; then `state` tells what was restored, and `back` when it stood in its place (monotonic seconds)."""

    kit: Kit
    timeline: Timeline
    reference: Mapping[str, Digest]
    state: Recovered
    back: Interval | None = None

    def follow(self) -> None:
        """Raises RecoveryFailed naming the step that did not come true."""
        runbook.follow(self.steps(), self.kit.clock, self.timeline)

    def steps(self) -> tuple[runbook.Step, ...]:
        state = self.state
        return (
            runbook.Step("See that the configuration is not as it was", "detect", lambda: None, self._differs, 30, "It differs from before."),
            runbook.Step("Choose the backup of the configuration", "decide", self._choose, lambda: state.chain is not None, 60),
            runbook.Step("Restore the configuration beside", "restore", self._restore, lambda: state.end is not None, SECONDS, "Nothing reads it yet."),
            runbook.Step("Compare the configuration with its backup", "verify", lambda: None, self._as_backed_up, 60, "Section by section."),
            runbook.Step("Put the configuration in its place", "switch", self._switch, self._in_place, 60, "The old one is kept beside it."),
        )  # fmt: skip

    def _differs(self) -> bool:
        return dict(self.kit.stores[STORE].digest()) != dict(self.reference)

    def _choose(self) -> None:
        self.state.chain = backups.Catalogue(self.kit.repository).chain_to(STORE)

    def _restore(self) -> None:
        assert self.state.chain
        self._beside().mkdir()
        fresh = self._fresh()
        lease = backups.Lease(STORE, fresh.identity())
        opener = backups.Opener(self.kit.keys.identities)
        self.state.end = backups.restore(self.state.chain, fresh, self.kit.repository, opener, lease, self.kit.clock)
        if self.state.end.refused:
            raise errors.RecoveryFailed(f"Not all of the configuration could be restored: {'; '.join(self.state.end.refused[:5])}.")

    def _as_backed_up(self) -> bool:
        return self._wanted(self._fresh())

    def _in_place(self) -> bool:
        return self._wanted(self.kit.stores[STORE])

    def _switch(self) -> None:
        before = self.kit.clock.monotonic()
        place = self._place()
        place.rename(place.with_name(f"{place.name}.before"))
        self._beside().rename(place)
        self.back = Interval(before, self.kit.clock.monotonic())

    def _wanted(self, store: ports.DataStore) -> bool:
        """Whether it holds what was backed up, and nothing else."""
        assert self.state.chain
        base, found = self.state.chain.base, store.digest()
        return found.keys() == base.digests.keys() and not backups.differing(backups.Opener(self.kit.keys.identities), base, found)

    def _place(self) -> Path:
        store = self.kit.stores[STORE]
        assert isinstance(store, powers.Reached)  # the composition has made it so
        return Path(store.endpoint.options["directory"])

    def _beside(self) -> Path:
        return self._place().with_name(f"{self._place().name}.restored")

    def _fresh(self) -> ports.DataStore:
        return self.kit.connect(ports.Endpoint(STORE, options={"directory": str(self._beside())}))


def concerned(plan: drill.Plan, effects: list[ports.FaultEffect]) -> list[ports.FaultEffect]:
    """The effects, those of faults on the configuration saying so: no client notices, but its owner does."""
    asked = plan.of(drill.Inflict)
    return [
        dataclasses.replace(effect, affects=effect.affects | {STORE}) if f"store:{STORE}" in activity.requires else effect
        for activity, effect in zip(asked, effects, strict=False)
    ]


def parts(
    plan: drill.Plan, kit: Kit, run: ConfigurationRecovery | None, effects: list[ports.FaultEffect], taken: list[Manifest]
) -> dict[str, tuple[Any, ...]]:
    """Recovery time, loss and reference data of the configuration, by judgement; nothing when it was not recovered."""
    effect = next((e for e in effects if STORE in e.affects), None)
    if run is None or effect is None:
        return {}
    return {
        "rto": (_rto(plan, run, effect),),
        "rpo": (_rpo(plan, run, effect),),
        "reference": (_reference(kit, run),),
    }


def _rto(plan: drill.Plan, run: ConfigurationRecovery, effect: ports.FaultEffect) -> Measurement:
    target = plan.policy.rto(STORE)
    if run.back is None:
        return Measurement("rto", STORE, target, None, "the configuration was not put in its place")
    taken = Interval(max(0.0, run.back.lower - effect.effect.upper), run.back.upper - effect.effect.lower)
    return Measurement("rto", STORE, target, taken)


def _rpo(plan: drill.Plan, run: ConfigurationRecovery, effect: ports.FaultEffect) -> Measurement:
    """Whatever was changed after the backup began would be gone: at the most the time from there to the disaster."""
    target = plan.policy.rpo(STORE)
    begun = [e.at.monotonic for e in run.timeline.named("backup.begin", store=STORE)]
    if not begun:
        return Measurement("rpo", STORE, target, None, "when the backup began is not known")
    return Measurement("rpo", STORE, target, Interval(0.0, max(0.0, effect.effect.upper - begun[-1])))


def _reference(kit: Kit, run: ConfigurationRecovery) -> Check:
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
        f"{items} entries in {len(run.reference)} sections are as they were",
    )
