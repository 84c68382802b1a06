"""Checks of drills in which service moves between regions: one primary, nothing lost on the way back, what a lost region alone had.

Each is shown a planted defect in the same run.
"""

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from drplatform.engine import backups, failover
from drplatform.engine.divergence import Divergence
from drplatform.engine.kit import Kit
from drplatform.engine.naming import Pointed, Use
from drplatform.engine.workload import STAYING
from drplatform.model import errors, ports
from drplatform.model.clock import Interval
from drplatform.model.ledger import Entry, Mark, Outcome
from drplatform.model.loss import Loss
from drplatform.model.outage import Outage
from drplatform.model.replication import Replication, Role
from drplatform.model.verdict import Check, Verdict, check


def one_primary(kit: Kit, store: str) -> Check | None:
    """All servers of the store are asked for their roles; None for a store that does not replicate by itself."""
    name = f"{store} has exactly one server that accepts writes"
    group = failover.group_of(kit, store)
    try:
        if not isinstance(group, ports.Replicated):
            return None
        seen = group.replication()
    except errors.StoreError as error:
        return Check(name, Verdict.INCONCLUSIVE, str(error))
    finally:
        group.close()
    if not seen.primaries:
        return Check(name, Verdict.FAILED, "none accepts writes")
    both = dataclasses.replace(seen, members=(*seen.members, seen.primaries[0]))
    return check(name, _not_one, seen, both, f"{seen.primaries[0].address}; {_others(seen)}")


def _not_one(seen: Replication) -> list[str]:
    found = [m.address for m in seen.primaries]
    return [] if len(found) == 1 else [f"{len(found)} accept writes: {', '.join(found)}"]


def _others(seen: Replication) -> str:
    rest = [f"{m.address} {m.role}" for m in seen.members if m.role is not Role.PRIMARY]
    return f"the others: {', '.join(rest)}" if rest else "there is no other"


def saved(kit: Kit, store: str, found: Loss, divergences: Iterable[Divergence], planted: Any) -> Check:
    """Each acknowledged write that is gone is on the lost region's disks and saved, or known to be gone there too.

    `planted` makes a repository with one byte of the given object flipped.
    """
    name = f"{store} has what the lost region alone held saved"
    mine = [d for d in divergences if d.store == store]
    manifests = [m for d in mine for m in d.saved]
    if not manifests:
        return Check(name, Verdict.FAILED, "the lost region's disks were not read before they were given up")
    opener = backups.Opener(kit.keys.identities)

    def damaged(repository: ports.Repository) -> list[str]:
        return [p for manifest in manifests for p in backups.verify(manifest, repository, opener).problems]

    there = {m for d in mine for m in d.marks}
    kept = [m for m in found.lost if m in there]
    words = (
        f"{len(found.lost)} acknowledged writes are gone from the serving region; {len(kept)} of them were on the lost region's disks, "
        f"{len(found.lost) - len(kept)} were gone there, too; all that was there is in {', '.join(m.id for m in manifests)}"
    )
    return check(name, damaged, kit.repository, planted(kit.repository, manifests[0].chunks[-1].key), words)


TRIES = 5
"""So many tries, each with the pause before it, those who ask again may need until they have an answer: a busy machine lets them wait."""


def followed(one: Pointed, uses: Sequence[Use], ttl: float, between: float, until: float = float("inf")) -> Check:
    """Those who had remembered the old address leave it when its time to live is over, and go to the new one.

    `ttl` in seconds, as the name server gives it to each answer; `between`: seconds between two tries of a client, at the most; `until`: when
    (monotonic seconds) the name was changed again.
    """
    name = f"{one.store} in the {one.region} region is found by those who remembered another address"
    bound = TRIES * between
    later = [u for u in uses if u.last >= one.began and u.first < until]
    first = next((u.first for u in later if _there(u, one)), None)
    if not any(u.first < one.began and not _there(u, one) for u in uses):
        return Check(name, Verdict.INCONCLUSIVE, "nobody had used it by another address before")
    if first is None or first - one.began > ttl + bound:
        asked = "never" if first is None else f"{first - one.began:.2f} s after the name was changed"
        return Check(
            name, Verdict.INCONCLUSIVE, f"they {asked} went there; {ttl:g} s of time to live and {bound:g} s to ask again were allowed"
        )

    def stale(seen: Iterable[Use]) -> list[str]:
        old = [u.last - one.ended for u in seen if not _there(u, one) and u.last > one.ended + ttl]
        return [f"an old address was used {max(old):.2f} s after the name was changed, with {ttl:g} s to live"] if old else []

    planted = [*later, Use((), one.began, one.ended + ttl + between)]
    told = (
        f"they went there {first - one.began:.2f} s after the name was changed at its server (allowed: {ttl:g} s to live and {bound:g} s to "
        "ask again), and to no old address after its time to live"
    )
    return check(name, stale, later, planted, told)


def _there(use: Use, one: Pointed) -> bool:
    return set(use.addresses) == set(one.addresses)


def kept(store: str, entries: Sequence[Entry], found: Loss, seen: Outage) -> Check | None:
    """Nothing acknowledged since the service was back is missing; None when nothing was acknowledged since."""
    since = {
        (e.mark.client, e.mark.number): e.mark
        for e in entries
        if e.store == store and e.outcome is Outcome.ACKED and e.invoked >= seen.ended.upper
    }
    if not since:
        return None

    def missing(lost: Iterable[Mark]) -> list[str]:
        late = [m for m in lost if (m.client, m.number) in since]
        return [f"{len(late)} writes acknowledged after it was back are gone, first {late[0].client}/{late[0].number}"] if late else []

    planted = (*found.lost, next(iter(since.values())))
    return check(
        f"{store} has all that was written since it was back", missing, found.lost, planted, f"{len(since)} acknowledged writes, all there"
    )


def fenced(
    store: str,
    entries: Sequence[Entry],
    since: Interval,
    fence: float | None,
    turned_away: float | None,
    gone: Collection[Mark] = (),
) -> Check:
    """No client that stayed had a write acknowledged after the fence (monotonic seconds); until then, from the disaster on, some had.

    `turned_away`: when one of them was last refused; `gone`: what the serving region has not. Without writes before and attempts after the
    fence nothing is proved. Written where it was cut off is what was sent after the cut was confirmed, or since it was made and is gone.
    """
    name = f"{store} took no write where it had been fenced"
    if fence is None:
        return Check(name, Verdict.INCONCLUSIVE, "nothing was fenced")
    stayed = [e for e in entries if e.store == store and e.mark.client == STAYING and e.outcome is Outcome.ACKED]
    apart = [e for e in stayed if e.returned <= fence and (e.invoked >= since.upper or (e.invoked >= since.lower and e.mark in gone))]
    elsewhere = [e for e in entries if e.store == store and e.mark.client != STAYING and e.outcome is Outcome.ACKED and e.invoked > fence]
    if not apart or not elsewhere or turned_away is None or turned_away <= fence:
        tried = "tried on" if turned_away and turned_away > fence else "did not try on"
        seen = f"{len(apart)} writes before the fence where it was cut off, {len(elsewhere)} elsewhere after it; those who stayed {tried}"
        return Check(name, Verdict.INCONCLUSIVE, f"both sides must be written to, and tried to be after the fence: {seen}")

    def late(found: Iterable[Entry]) -> list[str]:
        after = [e for e in found if e.invoked > fence]
        return [f"{len(after)} writes were acknowledged there after it was fenced, first {after[0].mark.number}"] if after else []

    planted = [*stayed, dataclasses.replace(stayed[-1], invoked=fence + 1, returned=fence + 2)]
    told = (
        f"{len(apart)} writes were acknowledged where it was cut off until it was fenced, none after it, "
        f"up to {turned_away - fence:.1f} s; {len(elsewhere)} in the region that took over"
    )
    return check(name, late, stayed, planted, told)


def lost_on_failback(entries: Iterable[Entry], found: Loss, since: Interval) -> list[Entry]:
    """What was acknowledged after the disaster by the region that was left, and is gone: the price of the way back. In the ledger's order."""
    gone = set(found.lost)
    return [e for e in entries if e.store == found.store and e.mark in gone and e.returned >= since.lower]


def failback(entries: Sequence[Entry], found: Loss, since: Interval, divergences: Iterable[Divergence]) -> Check:
    """What the ledger misses and what was found on the disks of the lost region alone are the same writes, both ways."""
    name = f"{found.store} misses exactly what the lost region alone had"
    mine = [d for d in divergences if d.store == found.store]
    if not mine:
        return Check(name, Verdict.FAILED, "the lost region's disks were not read before they were given up")
    there = {m for d in mine for m in d.marks}
    open_ends = {e.mark for e in entries if e.store == found.store and e.outcome is Outcome.INDETERMINATE}

    def differing(lost: Iterable[Mark]) -> list[str]:
        gone = set(lost)
        nowhere, strangers = gone - there, there - gone - open_ends
        words = [f"{len(nowhere)} acknowledged writes are gone, and not on its disks either"] if nowhere else []
        return [*words, *([f"{len(strangers)} writes on its disks are not known to the ledger"] if strangers else [])]

    late = lost_on_failback(entries, found, since)
    seconds = max(e.returned for e in late) - min(e.invoked for e in late) if late else 0.0
    told = (
        f"lost on failback: {len(late)} writes, acknowledged in {seconds:.2f} s after the disaster; {len(found.lost) - len(late)} of before it; "
        f"all are in {', '.join(m.id for d in mine for m in d.saved)}, with {len(there - set(found.lost))} whose outcome no client knows"
    )
    planted = (*found.lost, Mark("nobody", 1, "0" * 64))
    return check(name, differing, found.lost, planted, told)
