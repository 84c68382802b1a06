"""One moment for all stores: which backups lead there, and whether what was recovered is one consistent cut. Pure.

Stores refer to each other: a document names an object, a cached value stands for a document, a job names a file. A store that is newer than
the one it refers to holds references to what is not there. Any write may refer to anything that was acknowledged before it began, so this
is what is counted: writes that are there while one acknowledged before them, in a store they refer to, is gone.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from drplatform.model import errors
from drplatform.model.backup import BackupKind, Chain, Manifest, chain_to, newest_base
from drplatform.model.ledger import Entry, Mark, Outcome

REFERENCES = (("mongodb", "files"), ("redis", "mongodb"), ("redis", "files"), ("mongodb", "configuration"), ("files", "configuration"))
"""Referring store, store referred to: document -> object, cached value -> document, job -> file, document or file -> secret."""

Key = tuple[str, int]


def key(mark: Mark) -> Key:
    return mark.client, mark.number


@dataclass(frozen=True)
class Dangling:
    """References of one store to another that lead nowhere: how many writes have them, the first missing one, and by how many seconds
    the referring store is ahead of the other."""

    referring: str
    referred: str
    references: int
    missing: Mark
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.references} writes of {self.referring} may refer to what {self.referred} has lost "
            f"(first {self.missing.client}/{self.missing.number}), it is {self.seconds:.3f} s ahead"
        )


def dangling(
    entries: Iterable[Entry], present: Mapping[str, Set[Key]], before: float, references: Sequence[tuple[str, str]] = REFERENCES
) -> list[Dangling]:
    """The dangling references among what was written before the moment `before` (monotonic seconds), between the stores in `present`."""
    written = _by_store(entries, before)
    pairs = [(a, b) for a, b in references if a in present and b in present]
    found = (_between(a, b, written, present) for a, b in pairs)
    return [one for one in found if one]


def skew(entries: Iterable[Entry], present: Mapping[str, Set[Key]], before: float) -> float:
    """By how many seconds the stores are apart at most: from the oldest loss of one to the newest write kept of another; 0 without any."""
    written = _by_store(entries, before)
    stores = [s for s in present if s in written]
    pairs = [(a, b) for a in stores for b in stores if a != b]
    return max((found.seconds for a, b in pairs if (found := _between(a, b, written, present))), default=0.0)


def _by_store(entries: Iterable[Entry], before: float) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.invoked < before:
            found.setdefault(entry.store, []).append(entry)
    return found


def _between(referring: str, referred: str, written: Mapping[str, Sequence[Entry]], present: Mapping[str, Set[Key]]) -> Dangling | None:
    lost = [e for e in written.get(referred, ()) if e.outcome is Outcome.ACKED and key(e.mark) not in present[referred]]
    if not lost:
        return None
    first = min(lost, key=lambda e: e.returned)
    later = [e.invoked for e in written.get(referring, ()) if e.invoked > first.returned and key(e.mark) in present[referring]]
    return Dangling(referring, referred, len(later), first.mark, max(later) - first.returned) if later else None


# -- which backups lead to one moment -------------------------------------------------------------------------------------------


def cuts(catalogue: Iterable[Manifest], stores: Iterable[str]) -> dict[str, Chain]:
    """A chain for each store, so that none is newer than a store that it refers to, and each is as new as that allows.

    A store without a log decides the moment: it is as it was when its newest backup began. Raises LogGap, saying which store cannot reach
    the moment.
    """
    manifests, chosen, moments = list(catalogue), dict[str, Chain](), dict[str, float]()
    for store in _referred_first(tuple(stores)):
        limit = min((moments[b] for a, b in REFERENCES if a == store and b in moments), default=float("inf"))
        chosen[store] = _not_after(manifests, store, limit)
        moments[store] = _moment(chosen[store])
    return chosen


def _referred_first(stores: tuple[str, ...]) -> list[str]:
    """Each store after those that it refers to."""
    waiting, order = list(stores), list[str]()
    while waiting:
        free = [s for s in waiting if not any(a == s and b in waiting and b != s for a, b in REFERENCES)] or waiting[:1]
        order += free
        waiting = [s for s in waiting if s not in free]
    return order


def _not_after(manifests: Sequence[Manifest], store: str, limit: float) -> Chain:
    """The newest chain of the store whose every entry is from before the limit (seconds since 1970)."""
    own = [m for m in manifests if m.store == store]
    logged = any(m.kind is BackupKind.LOG for m in own)
    if not logged:
        return _base_before(own, store, limit)
    early = [m for m in own if m.end.at + _blur(m.end.at) <= limit]
    if not early:
        raise errors.LogGap(f"No backup of {store} ends before the moment that the other stores are recovered to; take one earlier.")
    return chain_to(early, store)


def _base_before(own: Sequence[Manifest], store: str, limit: float) -> Chain:
    early = [m for m in own if m.begin.at <= limit]
    if not early and own:
        raise errors.LogGap(f"No backup of {store} begins before the moment that the other stores are recovered to; take one earlier.")
    return Chain(newest_base(early, store))


def _moment(chain: Chain) -> float:
    """Everything acknowledged before it is in the chain (seconds since 1970). A dump without a log is only sure of what was there when it began."""
    return chain.end.at if chain.logs else chain.base.begin.at


def _blur(at: float) -> float:
    """How much later an entry may be than it says: a history may tell whole seconds only."""
    return 1.0 if at == int(at) else 0.0
