"""What is planted before checkers, and what a comparison of ledger and store says in words. A checker that misses its defect proves nothing."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from drplatform.model import loss, ports
from drplatform.model.backup import Digest
from drplatform.model.ledger import Entry, Mark, Outcome


class OneByteFlipped:
    """The repository with one byte of one object flipped: the planted defect of the backup check."""

    def __init__(self, inner: ports.Repository, key: str) -> None:
        self._inner, self._key = inner, key

    def get(self, key: str) -> bytes:
        data = self._inner.get(key)
        return data[:-1] + bytes([data[-1] ^ 1]) if key == self._key else data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def corruption(found: loss.Loss) -> list[str]:
    """What the store holds that it must not, in words."""
    kinds = ("phantom", "mutated", "duplicated", "reordered")
    return [f"{len(marks)} {kind}, first {first(marks)}" for kind in kinds if (marks := getattr(found, kind))]


def comparison_catches(store: str, entries: list[Entry], marks: list[Mark], ordered: bool) -> bool:
    """Whether the two-sided comparison names one planted defect of each kind on this very data."""
    acked = {(e.mark.client, e.mark.number) for e in entries if e.store == store and e.outcome is Outcome.ACKED}
    index = next((i for i, m in enumerate(marks) if (m.client, m.number) in acked), None)
    if index is None:
        return False
    one, stranger = marks[index], Mark("nobody", 1, "0" * 64)
    rest = marks[:index] + marks[index + 1 :]
    planted = {
        "lost": rest,
        "phantom": [*marks, stranger],
        "mutated": [*rest, dataclasses.replace(one, digest="0" * 64)],
        "duplicated": [*marks, one],
    }
    clean = loss.compare(store, entries, marks, ordered=ordered)
    return all(
        len(getattr(loss.compare(store, entries, seen, ordered=ordered), kind)) > len(getattr(clean, kind))
        for kind, seen in planted.items()
    )


def altered(expected: Mapping[str, Digest]) -> Mapping[str, Digest]:
    """The digests with one of them wrong: the planted defect of the check of reference data."""
    name = next(iter(expected))
    return {**expected, name: dataclasses.replace(expected[name], value="0" * len(expected[name].value))}


def first(marks: Sequence[Mark]) -> str:
    """The first mark as people look for it: client/number."""
    return f"{marks[0].client}/{marks[0].number}"
