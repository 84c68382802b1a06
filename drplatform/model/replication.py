"""What one look at a replicated store shows: who serves, who follows, how far behind. Values only; looking is the stores'."""

import enum
from dataclasses import dataclass
from typing import Any


class Role(enum.StrEnum):
    """What a server is to its group. UNREACHABLE: nobody answers there, so nothing is known of it."""

    PRIMARY = "primary"
    SECONDARY = "secondary"
    OTHER = "other"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Member:
    """One server. `lag_seconds` and `lag_operations` (Redis: bytes of the replication stream) are behind the most advanced; None when unknown."""

    address: str
    role: Role
    position: tuple[int, ...] | None = None
    lag_seconds: float | None = None
    lag_operations: int | None = None


@dataclass(frozen=True)
class Replication:
    """A store at one moment."""

    store: str
    members: tuple[Member, ...]

    @property
    def primaries(self) -> tuple[Member, ...]:
        """Those that accept writes: more than one is a split brain."""
        return tuple(m for m in self.members if m.role is Role.PRIMARY)

    def at(self, addresses: frozenset[str]) -> tuple[Member, ...]:
        """The members at these addresses (host:port)."""
        return tuple(m for m in self.members if m.address in addresses)

    def to_json(self) -> dict[str, Any]:
        return {"store": self.store, "members": [{**vars(m), "role": m.role.value} for m in self.members]}


def cost(seen: Replication, survivors: frozenset[str]) -> float | None:
    """The loss in seconds that going on with these survivors would cost now; None when it is not known."""
    lags = [m.lag_seconds for m in seen.at(survivors) if m.lag_seconds is not None]
    return min(lags, default=None)
