"""Whether what goes wrong with backups is told: each cause is put beside the vault's real backups, and the watch of the agent looks at it.

The causes are shown to the watch; neither the vault nor the audit log is touched.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from drplatform.engine import alerting, backups, monitor
from drplatform.engine.alerting import Alerting
from drplatform.engine.backups.catalogue import Listing
from drplatform.engine.kit import Kit
from drplatform.model import drill, monitoring, ports
from drplatform.model.backup import BASES, Manifest
from drplatform.model.monitoring import Alert, Observed
from drplatform.model.policy import CONTINUOUS, Policy
from drplatform.model.verdict import Check, Verdict, check

NAME = "each alert is raised by its cause and ends with its cure"
Watch = Callable[[Observed, Policy], Iterable[Alert]]


@dataclass(frozen=True)
class _World:
    """What the watch looks at."""

    listing: Listing
    now: datetime
    records: tuple[Mapping[str, Any], ...] = ()


def parts(plan: drill.Plan, kit: Kit) -> dict[str, tuple[Check, ...]]:
    """One check, where the plan asks for it."""
    if not any(e.judgement == "alerts" for e in plan.of(drill.Expect)):
        return {}
    return {"alerts": (_checked(kit),)}


def _checked(kit: Kit) -> Check:
    listing, now = backups.Catalogue(kit.repository).read(), kit.clock.utc()
    bases = [m for m in listing.manifests if m.kind in BASES and _scheduled(kit.policy, m)]
    if not bases:
        return Check(NAME, Verdict.INCONCLUSIVE, "the vault holds no backup that the policy has a schedule for")
    causes = dict(_causes(kit, _World(listing, now), bases[-1]))
    file = kit.directory / "alerts-check.json"
    told = f"told once, and told to be over: {', '.join(causes)}"
    return check(NAME, lambda watch: _wrong(kit.policy, watch, _World(listing, now), causes, file), monitoring.alerts, _deaf, told)


def _scheduled(policy: Policy, manifest: Manifest) -> bool:
    return any((r.store, r.kind) == (manifest.store, manifest.kind) and r.schedule != CONTINUOUS for r in policy.backups)


def _causes(kit: Kit, world: _World, base: Manifest) -> Iterator[tuple[str, _World]]:
    """By the alert that it should raise, the world with one thing wrong in it."""
    rule = {"store": base.store, "backup_kind": base.kind.value}
    yield "BackupFailed", dataclasses.replace(world, records=({"kind": "backup failed", **rule, "error": "a cause made for this check"},))
    yield "BackupMissed", dataclasses.replace(world, now=world.now + timedelta(days=3))
    yield "BackupSizeAnomaly", dataclasses.replace(world, listing=Listing(_grown(base), ()))
    yield "BackupDamaged", dataclasses.replace(world, listing=backups.Catalogue(_Damaged(kit.repository, base.id)).read())
    yield "RecoveryPointTooOld", dataclasses.replace(world, now=world.now + timedelta(seconds=kit.policy.rpo(base.store)))
    yield "NoRecoveryPoint", dataclasses.replace(world, listing=Listing((), ()))
    target = kit.policy.rto(base.store)
    late = {"name": "rto", "subject": base.store, "upper": 2 * target, "target": target, "verdict": "FAILED"}
    drilled = {"id": "late", "verdict": "FAILED", "scenario": {"name": "", "source": "", "cadence": ""}, "measurements": [late]}
    ended = world.now.isoformat()
    yield "RecoveryObjectiveMissed", dataclasses.replace(world, records=({**drilled, "started": ended, "finished": ended},))


def _grown(base: Manifest) -> tuple[Manifest, ...]:
    """As many of the same size as it takes to know what is usual, and a last one that is ten times as large."""
    large = tuple(dataclasses.replace(chunk, stored=chunk.stored * 10 + 1000) for chunk in base.chunks)
    return (*[base] * monitoring.HISTORY, dataclasses.replace(base, chunks=large))


@dataclass(frozen=True)
class _Damaged:
    """The repository, but one backup's manifest comes with a byte changed."""

    inner: ports.Repository
    backup: str

    def put(self, key: str, data: bytes, sha256: str = "") -> None:
        raise AssertionError("nothing is written by a check")

    delete: Any = None

    def get(self, key: str) -> bytes:
        content = self.inner.get(key)
        return bytes([content[0] ^ 1]) + content[1:] if self.backup in key else content

    def list(self, prefix: str) -> Iterator[ports.ObjectInfo]:
        return self.inner.list(prefix)

    def describe(self) -> str:
        return self.inner.describe()


@dataclass
class _Ear:
    """Takes what is told."""

    heard: list[ports.Notice] = dataclasses.field(default_factory=list)

    def send(self, notice: ports.Notice) -> None:
        self.heard.append(notice)


def _wrong(policy: Policy, watch: Watch, good: _World, causes: Mapping[str, _World], file: Path) -> list[str]:
    """The alerts that are not told by their causes, told twice, or not told to be over, in words."""
    return [f"{name}: {words}" for name, world in causes.items() if (words := _told(policy, watch, name, good, world, file))]


def _told(policy: Policy, watch: Watch, name: str, good: _World, bad: _World, file: Path) -> str:
    file.unlink(missing_ok=True)
    ear = _Ear()
    ways = Alerting([ear], file, lambda failed: None)
    stores = tuple(dict.fromkeys(m.store for m in good.listing.manifests if policy_has(policy, m.store)))
    for world in (good, bad, bad, good):
        ways.update(watch(_observed(world, good, policy, stores), policy), good.now)
    states = [notice.state for notice in ear.heard if notice.name == name]
    subjects = {notice.subject for notice in ear.heard if notice.name == name}
    if not states:
        return "its cause raises nothing"
    expected = [alerting.FIRING] * len(subjects) + [alerting.RESOLVED] * len(subjects)
    return "" if states == expected else f"told as {', '.join(states)}"


def policy_has(policy: Policy, store: str) -> bool:
    return store in policy.stores


def _observed(world: _World, good: _World, policy: Policy, stores: Sequence[str]) -> Observed:
    began = min(m.started for m in good.listing.manifests)
    return monitor.observe(world.records, world.listing, (), policy, stores, world.now, began)


def _deaf(seen: Observed, policy: Policy) -> list[Alert]:
    """The planted defect: a watch that does not see damage."""
    return [alert for alert in monitoring.alerts(seen, policy) if alert.name != "BackupDamaged"]
