"""A position in a store's own history: a MongoDB oplog timestamp, a Redis replication offset, a moment of a bucket.

Positions of different timelines (another replica set, another replication id, a rolled back branch) have no order,
and comparing them raises.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from drplatform.model import errors


@dataclass(frozen=True)
class Position:
    """A point in one history.

    `timeline` names the history (replica set id, replication id, bucket marker), `sequence` orders the points in it
    (MongoDB: seconds and ordinal of the oplog timestamp; Redis: the offset), and `at` is the source's own estimate of
    the time, in seconds since 1970 (UTC), for records and for finding a point by time.
    """

    timeline: str
    sequence: tuple[int, ...]
    at: float

    def _ordered_with(self, other: "Position") -> None:
        if self.timeline != other.timeline:
            raise errors.IntegrityError(
                f"Positions of two histories have no order: {self} and {other}; take a new full backup of the newer one."
            )

    def __lt__(self, other: "Position") -> bool:
        self._ordered_with(other)
        return self.sequence < other.sequence

    def __le__(self, other: "Position") -> bool:
        self._ordered_with(other)
        return self.sequence <= other.sequence

    def __gt__(self, other: "Position") -> bool:
        return other < self

    def __ge__(self, other: "Position") -> bool:
        return other <= self

    def __str__(self) -> str:
        when = datetime.fromtimestamp(self.at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return f"{'.'.join(map(str, self.sequence))} ({when}) of {self.timeline}"

    def to_json(self) -> dict[str, Any]:
        return {"timeline": self.timeline, "sequence": list(self.sequence), "at": self.at}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Position":
        return cls(str(document["timeline"]), tuple(int(n) for n in document["sequence"]), float(document["at"]))
