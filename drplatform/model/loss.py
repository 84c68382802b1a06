"""What a two-sided comparison of the ledger with the recovered store finds, and the RPO that follows from it.

Both ways: nothing acknowledged is missing, and nothing is there that was never written.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from drplatform.model.clock import Interval
from drplatform.model.ledger import Entry, Mark, Outcome


@dataclass(frozen=True)
class Loss:
    """The findings for one store. Each tuple holds the marks concerned, in order of client and number.

    lost: acknowledged, and gone. phantom: there, but never written, or refused. duplicated: there more than once.
    mutated: there with another payload. reordered: there before an earlier write of the same client.
    unknown_kept, unknown_gone: writes without a known outcome that are there, or not.
    """

    store: str
    acked: int
    failed: int
    indeterminate: int
    found: int
    lost: tuple[Mark, ...] = ()
    phantom: tuple[Mark, ...] = ()
    duplicated: tuple[Mark, ...] = ()
    mutated: tuple[Mark, ...] = ()
    reordered: tuple[Mark, ...] = ()
    unknown_kept: tuple[Mark, ...] = ()
    unknown_gone: tuple[Mark, ...] = ()

    @property
    def corrupt(self) -> bool:
        """Whether the store holds what it must not, whatever the recovery point."""
        return bool(self.phantom or self.duplicated or self.mutated or self.reordered)

    def to_json(self) -> dict[str, Any]:
        """Counts, and the first 20 marks of each finding as `client/number`."""
        findings = ("lost", "phantom", "duplicated", "mutated", "reordered", "unknown_kept", "unknown_gone")
        marks = {name: getattr(self, name) for name in findings}
        return {
            "store": self.store,
            "acked": self.acked,
            "failed": self.failed,
            "indeterminate": self.indeterminate,
            "found": self.found,
            **{name: len(found) for name, found in marks.items()},
            "examples": {name: [f"{m.client}/{m.number}" for m in found[:20]] for name, found in marks.items() if found},
        }


def compare(store: str, entries: Iterable[Entry], found: Iterable[Mark], *, ordered: bool = False) -> Loss:
    """Compare the ledger's entries for one store with the marks found in it.

    `found` yields the marks in the order in which the store keeps them; with `ordered`, a mark that comes after a later one of the
    same client is reported as reordered.
    """
    written = {(e.mark.client, e.mark.number): e for e in entries if e.store == store}
    seen = list(found)
    counts = Counter((m.client, m.number) for m in seen)
    content: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
    for mark in seen:
        content[mark.client, mark.number].add(mark.digest)

    def pick(keep: Any) -> tuple[Mark, ...]:
        return tuple(e.mark for key, e in sorted(written.items()) if keep(key, e))

    def having(outcome: Outcome) -> int:
        return sum(e.outcome is outcome for e in written.values())

    return Loss(
        store=store,
        acked=having(Outcome.ACKED),
        failed=having(Outcome.FAILED),
        indeterminate=having(Outcome.INDETERMINATE),
        found=len(seen),
        lost=pick(lambda key, e: e.outcome is Outcome.ACKED and key not in counts),
        phantom=_phantoms(seen, written),
        duplicated=pick(lambda key, e: counts[key] > 1),
        mutated=pick(lambda key, e: key in counts and content[key] != {e.mark.digest}),
        reordered=_reordered(seen) if ordered else (),
        unknown_kept=pick(lambda key, e: e.outcome is Outcome.INDETERMINATE and key in counts),
        unknown_gone=pick(lambda key, e: e.outcome is Outcome.INDETERMINATE and key not in counts),
    )


def _phantoms(seen: list[Mark], written: dict[tuple[str, int], Entry]) -> tuple[Mark, ...]:
    def phantom(mark: Mark) -> bool:
        entry = written.get((mark.client, mark.number))
        return entry is None or entry.outcome is Outcome.FAILED

    return tuple(sorted({m for m in seen if phantom(m)}, key=lambda m: (m.client, m.number, m.digest)))


def _reordered(seen: list[Mark]) -> tuple[Mark, ...]:
    highest: dict[str, int] = {}
    late = set[Mark]()
    for mark in seen:
        if mark.number < highest.get(mark.client, mark.number):
            late.add(mark)
        highest[mark.client] = max(mark.number, highest.get(mark.client, mark.number))
    return tuple(sorted(late, key=lambda m: (m.client, m.number)))


def rpo(loss: Loss, entries: Iterable[Entry], fault: Interval) -> Interval:
    """The loss in seconds: from the oldest write that is gone to the fault.

    `fault` bounds the moment the (last) fault took effect, in monotonic seconds. The lower bound counts acknowledged writes from
    their acknowledgement to the fault's earliest moment; the upper bound counts them from their invocation, and indeterminate writes
    that are gone too, to the fault's latest moment. [0, 0] when nothing is gone.
    """
    gone = {(m.client, m.number) for m in loss.lost}
    unknown = {(m.client, m.number) for m in loss.unknown_gone}
    mine = [e for e in entries if e.store == loss.store]
    acked = [e for e in mine if (e.mark.client, e.mark.number) in gone]
    perhaps = [e for e in mine if (e.mark.client, e.mark.number) in unknown]
    lower = max((fault.lower - e.returned for e in acked), default=0.0)
    upper = max((fault.upper - e.invoked for e in (*acked, *perhaps)), default=0.0)
    lower = max(0.0, lower)
    return Interval(lower, max(lower, upper))


def wrote_until(entries: Iterable[Entry], store: str, fault: float, tolerance: float) -> bool:
    """Whether the ledger has an acknowledgement of this store in the `tolerance` seconds before the fault (monotonic seconds).

    Without it a loss of zero proves nothing: there may have been nothing to lose.
    """
    return any(e.store == store and e.outcome is Outcome.ACKED and fault - tolerance <= e.returned and e.invoked <= fault for e in entries)
