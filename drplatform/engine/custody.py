"""Custody of backups: what was taken, as known outside the vault, beside what is in it now.

A vault cannot tell of itself that a whole backup is gone, or that one is there which nobody took. Whoever took the backups can.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from drplatform.engine.backups.catalogue import Catalogue, Listing
from drplatform.engine.backups.sealing import Opener
from drplatform.engine.backups.verify import verify
from drplatform.model import backup, errors, ports, retention
from drplatform.model.backup import BASES, Manifest
from drplatform.model.position import Position


def doubts(taken: Iterable[Manifest], listing: Listing) -> list[str]:
    """What is not as it was left, in words; empty is good. Only backups that begin a chain are compared one by one."""
    known = {m.id: m for m in taken if m.kind in BASES}
    stores = {m.store for m in known.values()}
    found = {m.id: m for m in listing.manifests if m.kind in BASES and m.store in stores}
    gone = [f"backup {id} of {m.store}, which was taken, is not in the vault any more" for id, m in known.items() if id not in found]
    changed = [f"backup {id} of {m.store} is not the one that was taken" for id, m in found.items() if id in known and known[id] != m]
    strange = [f"backup {id} of {m.store} is in the vault, but nobody here took it" for id, m in found.items() if id not in known]
    return [*gone, *changed, *strange]


def future(manifests: Iterable[Manifest], now: datetime) -> list[str]:
    """Backups that claim to be finished in the future: whoever decides by their time decides wrongly."""
    return [f"backup {m.id} of {m.store} is from the future" for m in manifests if m.finished > now + retention.SKEW]


def require(taken: Sequence[Manifest], listing: Listing, now: datetime) -> None:
    """Raises IntegrityError with all that is not as it was left, before anything is recovered from it."""
    problems = [*listing.problems, *doubts(taken, listing), *future(listing.manifests, now)]
    if problems:
        raise errors.IntegrityError(
            f"The vault is not as it was left: {'; '.join(problems[:5])}. Find out who changed it before you restore."
        )


def check(repository: ports.Repository, taken: Sequence[Manifest], sealed: Mapping[str, Position], now: datetime) -> None:
    """As `require`, and that the log of each store leads without a gap to where its capture has sealed it. Raises IntegrityError or LogGap."""
    listing = Catalogue(repository).read()
    require(taken, listing, now)
    for store, position in sealed.items():
        if any(m.store == store and m.kind in BASES and m.end.timeline == position.timeline for m in listing.manifests):
            _lead_to(listing, store, position)


def _lead_to(listing: Listing, store: str, position: Position) -> None:
    chain = backup.chain_to(listing.manifests, store)
    if chain.end.timeline == position.timeline and chain.end < position:
        raise errors.LogGap(
            f"The captured log of {store} was sealed up to {position}, but the vault leads to {chain.end} only: a slice is missing; "
            "find out who removed it, and recover to the latter on purpose."
        )


def verified(repository: ports.Repository, store: str, opener: Opener) -> None:
    """Every backup of the store is whole and genuine. Raises IntegrityError with what is wrong, or KeyUnavailable."""
    wrong = [p for m in Catalogue(repository).read(store).manifests for p in verify(m, repository, opener).problems]
    if wrong:
        raise errors.IntegrityError(f"The backups of {store} are not whole: {'; '.join(wrong[:5])}")
