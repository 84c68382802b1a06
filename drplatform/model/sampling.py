"""What a look at some of many objects proves. Pure."""

import math
import random
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def size(population: int, share: float) -> int:
    """How many to look at for a share (0 to 1) of all: at least one, if there are any."""
    if not 0 < share <= 1:
        raise ValueError(f"A share is more than 0 and at most 1, not {share}.")
    return min(population, max(1, math.ceil(population * share))) if population else 0


def choose(items: Iterable[T], population: int, sampled: int, generator: random.Random) -> Iterator[T]:
    """So many of them, each subset as likely as any other, in order (Knuth, The Art of Computer Programming 2, 3.4.2, algorithm S)."""
    left, needed = population, sampled
    for item in items:
        if generator.random() * left < needed:
            needed -= 1
            yield item
        left -= 1


def likelihood(population: int, sampled: int, defects: int) -> float:
    """How likely a sample without replacement holds at least one of the defects: 1 - C(N-D, n) / C(N, n)."""
    if defects > population - sampled:
        return 1.0
    if not sampled or not defects:
        return 0.0
    missed = math.fsum(math.log1p(-sampled / (population - index)) for index in range(defects))
    return -math.expm1(missed)


def bound(population: int, sampled: int, confidence: float = 0.95) -> int:
    """With no defect found: fewer than so many of the population are defective, with this confidence."""
    low, high = 1, population + 1
    while low < high:
        middle = (low + high) // 2
        if middle > population or likelihood(population, sampled, middle) >= confidence:
            high = middle
        else:
            low = middle + 1
    return low
