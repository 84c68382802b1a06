"""Anomalies over generations of backups: what a person would want to know before an old, clean backup expires. Pure.

A generation is what one backup holds, item by item: how it looks (digest, size, type, whether it looks random). Each is held against the
ones before it. Encryption makes what was readable look random, however slowly it is done; mass changes, deletions and other kinds of
files show in the rates. Files that have always looked random (archives, pictures) are no sign.

Randomness: Pearson's chi-squared over the frequencies of bytes (Knuth, The Art of Computer Programming 2, 3.3.1). For random bytes it has
255 degrees of freedom, mean 255 and a standard deviation of 22.6; text is in the thousands.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

RANDOM_BELOW = 255 + 6 * 22.6
SAMPLE_BYTES = 4096
LEAST_SAMPLE = 128
"""Shorter content cannot be told from random."""
HISTORY = 3
"""Rates are judged against so many earlier generations at the least."""


@dataclass(frozen=True)
class Item:
    """One thing that a backup holds. `type`: the ending of its name, or what it is part of. `random`: None when it is too short to tell."""

    digest: str
    size: int
    type: str
    random: bool | None


@dataclass(frozen=True)
class Generation:
    """What one backup holds, by name."""

    backup: str
    items: Mapping[str, Item] = field(repr=False)

    @property
    def bytes(self) -> int:
        return sum(item.size for item in self.items.values())

    def types(self) -> dict[str, float]:
        """Each type's share of the items."""
        return {name: count / len(self.items) for name, count in Counter(i.type for i in self.items.values()).items()}


@dataclass(frozen=True)
class Rates:
    """How a generation differs from the one before it, each as a share of what was there: between 0 and 1 but for `growth`, a logarithm."""

    changed: float
    gone: float
    added: float
    growth: float
    types: float
    turned: tuple[str, ...] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "turned": len(self.turned)}


@dataclass(frozen=True)
class Finding:
    """One generation: `reasons` say, in words, why it is suspicious; none: it looks clean."""

    backup: str
    rates: Rates | None
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"backup": self.backup, "rates": self.rates and self.rates.to_json(), "reasons": list(self.reasons)}


@dataclass(frozen=True)
class Tolerances:
    """What is no anomaly: `turned` items of the readable ones; rates up to the usual ones times `times` plus these."""

    turned: int = 3
    turned_share: float = 0.003
    times: float = 4.0
    changed: float = 0.25
    gone: float = 0.15
    added: float = 0.6
    growth: float = math.log(1.6)
    types: float = 0.2


def looks_random(content: bytes) -> bool | None:
    """Whether the bytes could be random; None for too few of them."""
    sample = content[:SAMPLE_BYTES]
    if len(sample) < LEAST_SAMPLE:
        return None
    size = len(sample)
    return 256 * sum(count * count for count in Counter(sample).values()) / size - size < RANDOM_BELOW


def examine(generations: Sequence[Generation], tolerances: Tolerances | None = None) -> list[Finding]:
    """A finding for each generation, oldest first. A suspicious one is no history: rates are compared with those of clean ones alone."""
    allowed, usual, findings = tolerances or Tolerances(), list[Rates](), list[Finding]()
    for number, generation in enumerate(generations):
        if number == 0:
            findings.append(Finding(generation.backup, None, ()))
            continue
        seen = rates(generations[number - 1], generation)
        reasons = tuple(_reasons(seen, generations[number - 1], usual, allowed))
        if not reasons:
            usual.append(seen)
        findings.append(Finding(generation.backup, seen, reasons))
    return findings


def last_clean(findings: Sequence[Finding]) -> str | None:
    """The newest backup before the first suspicious one; None when there is none."""
    first = next((number for number, finding in enumerate(findings) if finding.reasons), len(findings))
    return findings[first - 1].backup if first else None


def rates(before: Generation, after: Generation) -> Rates:
    old, new = before.items, after.items
    both = old.keys() & new.keys()
    changed = [name for name in both if old[name].digest != new[name].digest]
    turned = [*(name for name in changed if old[name].random is False and new[name].random), *_renamed(before, after)]
    count = max(len(old), 1)
    grown = math.log(max(after.bytes, 1) / max(before.bytes, 1))
    kinds = before.types().keys() | after.types().keys()
    shift = sum(abs(before.types().get(k, 0) - after.types().get(k, 0)) for k in kinds) / 2
    return Rates(
        len(changed) / count, len(old.keys() - new.keys()) / count, len(new.keys() - old.keys()) / count, grown, shift, tuple(turned)
    )


def _renamed(before: Generation, after: Generation) -> list[str]:
    """Items that are gone, and under a name that begins as theirs there is something that looks random: encrypted and renamed."""
    gone = before.items.keys() - after.items.keys()
    fresh = [name for name in after.items.keys() - before.items.keys() if after.items[name].random]
    return [n for n in fresh if any(n[:cut] in gone and before.items[n[:cut]].random is False for cut in range(len(n) - 1, 0, -1))]


def _reasons(seen: Rates, before: Generation, usual: Sequence[Rates], allowed: Tolerances) -> list[str]:
    readable = sum(item.random is False for item in before.items.values())
    reasons = []
    if len(seen.turned) >= max(allowed.turned, allowed.turned_share * readable):
        reasons.append(f"{len(seen.turned)} of {readable} readable items now look random, such as {seen.turned[0]}: encryption")
    for name, words in _WORDS.items():
        bound = _bound(name, usual, allowed)
        if (value := abs(getattr(seen, name))) > bound:
            reasons.append(f"{words}: {value:.2f}, usual is up to {bound:.2f}")
    return reasons


_WORDS = {
    "changed": "share of items that changed",
    "gone": "share of items that are gone",
    "added": "items that were added, as a share of what was there",
    "growth": "change of the whole size, as a logarithm",
    "types": "share of items that are of another type than the mix of before",
}


def _bound(name: str, usual: Sequence[Rates], allowed: Tolerances) -> float:
    """What may be at the most: the tolerance, and more where the history is livelier. Without a history, twice the tolerance."""
    tolerance: float = getattr(allowed, name)
    if len(usual) < HISTORY:
        return 2 * tolerance
    seen: list[float] = [abs(getattr(rates, name)) for rates in usual]
    return max(tolerance, allowed.times * median(seen))
