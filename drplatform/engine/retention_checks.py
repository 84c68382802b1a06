"""Whether the backups in the vault would be kept for as long as the policy says, and let go after: decided by what prunes them. Deletes nothing."""

import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from drplatform.engine import backups
from drplatform.engine.kit import Kit
from drplatform.model import drill, retention
from drplatform.model.backup import BASES, Manifest
from drplatform.model.policy import Policy
from drplatform.model.verdict import Check, Verdict, check

MARGIN = timedelta(minutes=1)


def parts(plan: drill.Plan, kit: Kit) -> dict[str, tuple[Any, ...]]:
    """A check for each store that has backups, where the plan asks for it."""
    if not any(e.judgement == "retention" for e in plan.of(drill.Expect)):
        return {}
    manifests = backups.Catalogue(kit.repository).read().manifests
    stores = dict.fromkeys(m.store for m in manifests)
    return {"retention": tuple(_kept(store, [m for m in manifests if m.store == store], plan.policy) for store in stores)}


def _kept(store: str, own: Sequence[Manifest], policy: Policy) -> Check:
    name = f"{store} keeps its backups for as long as the policy says"
    ruled = [m for m in own if retention.retention(policy, m) is not None]
    bases = [m for m in ruled if m.kind in BASES]
    if not bases:
        return Check(name, Verdict.INCONCLUSIVE, "the policy does not say how long its backups are kept")

    def wrong(used: Policy) -> list[str]:
        return [text for m in ruled if (text := _wrong(m, bases[-1], policy, used))]

    kinds = ", ".join(dict.fromkeys(f"{m.kind.value} for {_days(policy, m)}" for m in ruled))
    return check(name, wrong, policy, _hasty(policy), f"{kinds}; a prune would keep each of the {len(ruled)} until then, and no longer")


def _wrong(manifest: Manifest, base: Manifest, policy: Policy, used: Policy) -> str:
    """What pruning under the policy `used` would do otherwise than the policy says; empty when nothing."""
    limit = retention.retention(policy, manifest)
    assert limit is not None  # the caller has chosen so
    before, after = manifest.finished + limit - MARGIN, manifest.finished + limit + timedelta(days=1)
    if manifest in retention.prune([manifest, _newer(base, before)], used, before).delete:
        return f"backup {manifest.id} would go before {limit.total_seconds() / 86400:g} d are over"
    if manifest not in retention.prune([manifest, _newer(base, after)], used, after).delete:
        return f"backup {manifest.id} would stay after {limit.total_seconds() / 86400:g} d"
    return ""


def _newer(base: Manifest, moment: Any) -> Manifest:
    """A later backup to restore from, so that age alone decides: the newest is never given up."""
    return dataclasses.replace(base, id="newer", finished=moment)


def _hasty(policy: Policy) -> Policy:
    """The planted defect: a policy that lets everything go at half its time."""
    return dataclasses.replace(policy, backups=tuple(dataclasses.replace(rule, retention=rule.retention / 2) for rule in policy.backups))


def _days(policy: Policy, manifest: Manifest) -> str:
    limit = retention.retention(policy, manifest)
    return f"{limit.total_seconds() / 86400:g} d" if limit else "?"
