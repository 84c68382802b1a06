"""Which backups are still needed, and which points in time can be recovered to. Pure: works on manifests and a time.

A backup is kept while it is younger than the policy says, and as long as anything that is kept needs it: a slice of the log is worth nothing
without the base and the slices before it. Ages are judged against a clock that may be wrong, so the newest way to recover a store is never
given up, and nothing goes when even the newest backup seems to be long expired.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from drplatform.model import backup, errors
from drplatform.model.backup import BASES, BackupKind, Manifest
from drplatform.model.policy import Policy

SKEW = timedelta(minutes=10)
"""A backup that was finished so far in the future has a time that nobody should trust."""

_ALONE = BASES | {BackupKind.PARTIAL}
"""What needs no other backup."""

ORPHAN_GRACE = timedelta(days=1)
"""Objects without a manifest may belong to a backup that is being written: they are left alone so long."""


@dataclass(frozen=True)
class Pruning:
    """What may go, and why each of the others stays. `refused` names stores that were left alone altogether, and why."""

    delete: tuple[Manifest, ...]
    keep: Mapping[str, str]
    refused: Mapping[str, str]

    @property
    def bytes(self) -> int:
        return sum(m.stored_bytes for m in self.delete)


def prune(manifests: Iterable[Manifest], policy: Policy, now: datetime, holds: AbstractSet[str] = frozenset()) -> Pruning:
    """Decide for every backup whether it stays. `holds` are ids that stay whatever their age."""
    by_store: dict[str, list[Manifest]] = {}
    for manifest in manifests:
        by_store.setdefault(manifest.store, []).append(manifest)
    delete, keep, refused = list[Manifest](), dict[str, str](), dict[str, str]()
    for store, own in by_store.items():
        reason = _untrustworthy(store, own, policy, now)
        if reason:
            refused[store] = reason
        kept = dict.fromkeys((m.id for m in own), reason) if reason else _needed(own, policy, now, holds)
        keep.update(kept)
        delete += [m for m in own if m.id not in kept]
    return Pruning(tuple(sorted(delete, key=lambda m: (m.finished, m.id))), keep, refused)


def retention(policy: Policy, manifest: Manifest) -> timedelta | None:
    """How long the policy keeps backups of this kind of this store; None when it does not say. A partial one is kept like a full one."""
    kinds = BASES if manifest.kind is BackupKind.PARTIAL else {manifest.kind}
    found = [r.retention for r in policy.backups if r.store == manifest.store and r.kind in kinds]
    return timedelta(seconds=max(found)) if found else None


def _untrustworthy(store: str, own: Sequence[Manifest], policy: Policy, now: datetime) -> str:
    """Why nothing of the store may go at this time; empty when there is no reason."""
    bases = [m for m in own if m.kind in BASES]
    if not bases:
        return ""
    newest = max(bases, key=lambda m: m.finished)
    if newest.finished > now + SKEW:
        return (
            f"backup {newest.id} is from the future ({newest.finished:%Y-%m-%d %H:%M} UTC): check the clocks, here and where it was taken"
        )
    limit = retention(policy, newest)
    if limit is not None and now - newest.finished > limit:
        return f"the newest backup to restore from, {newest.id}, is older than it may be kept: check this clock, and why no newer one was taken"
    return ""


def _needed(own: Sequence[Manifest], policy: Policy, now: datetime, holds: AbstractSet[str]) -> dict[str, str]:
    """By id, why it is needed."""
    kept: dict[str, str] = {}
    for manifest in own:
        limit = retention(policy, manifest)
        if manifest.id in holds:
            kept[manifest.id] = "held"
        elif limit is None:
            kept[manifest.id] = "the policy does not say how long"
        elif now - manifest.finished <= limit:
            kept[manifest.id] = f"younger than {_days(limit)}"
    bases = [m for m in own if m.kind in BASES]
    if bases:
        newest = max(bases, key=lambda m: (m.finished, m.id))
        kept.setdefault(newest.id, "the newest to restore from")
    for manifest in own:
        if manifest.id in kept and manifest.kind not in _ALONE:
            for link in _chain_of(own, manifest):
                kept.setdefault(link.id, f"backup {manifest.id} needs it")
    return kept


def _chain_of(own: Sequence[Manifest], piece: Manifest) -> tuple[Manifest, ...]:
    """What a restore to anywhere in this piece would use: what leads to its beginning, else to its end; nothing when nothing leads there."""
    for position in (piece.begin, piece.end):
        with suppress(errors.LogGap):
            return backup.chain_to(own, piece.store, position).backups
    return ()


def _days(limit: timedelta) -> str:
    hours = limit.total_seconds() / 3600
    return f"{hours / 24:g} d" if hours >= 48 else f"{hours:g} h"


# -- what can be recovered ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reach:
    """Every moment from `since` to `until` (UTC) can be recovered to, by the chain that begins with `base`."""

    base: str
    since: datetime
    until: datetime


def reachable(manifests: Iterable[Manifest], store: str) -> tuple[Reach, ...]:
    """By base, oldest first, which moments its chain reaches. Where the log has a hole, increments reach the moments of their ends."""
    own = [m for m in manifests if m.store == store]
    found = []
    logs = [m for m in own if m.kind is BackupKind.LOG]
    for base in (m for m in own if m.kind in BASES):
        whole = backup.chain_to([base, *(m for m in own if m.kind not in BASES)], store)
        reached = base.end
        for point in (base, *whole.increments):
            if point is base or point.end > reached:
                reached = backup.chain_to([replace(point, kind=base.kind), *logs], store).end
                found.append(Reach(base.id, _moment(point.end.at), _moment(reached.at)))
    return tuple(sorted(found, key=lambda r: (r.since, r.base)))


def gaps(reached: Iterable[Reach], since: datetime, until: datetime) -> tuple[tuple[datetime, datetime], ...]:
    """The stretches of the window that no chain reaches."""
    open_since, found = since, []
    for reach in sorted(reached, key=lambda r: r.since):
        if reach.since > open_since and open_since < until:
            found.append((open_since, min(reach.since, until)))
        open_since = max(open_since, reach.until)
    if open_since < until:
        found.append((open_since, until))
    return tuple(found)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
