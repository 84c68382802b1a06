"""The ledger: every write of the workload with its acknowledgement, kept outside the blast radius.

A write is ACKED (the server said so), FAILED (it certainly did not happen) or INDETERMINATE (nobody knows). A write whose outcome
was never recorded, because the writer died, is INDETERMINATE too.
"""

import enum
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from drplatform.model import errors


class Outcome(enum.StrEnum):
    ACKED = "acked"
    FAILED = "failed"
    INDETERMINATE = "indeterminate"


@dataclass(frozen=True)
class Mark:
    """One write of the workload as it can be recognised in a store: the `number`-th write of one client.

    `digest` is the SHA-256, in hex, of its payload as found: a changed payload has another digest.
    """

    client: str
    number: int
    digest: str


def payload(client: str, number: int, seed: int, size: int = 128) -> bytes:
    """The bytes that the write carries: printable, reproducible from the seed, different for every write."""
    block = hashlib.sha256(f"{seed}/{client}/{number}".encode()).hexdigest().encode()
    return (block * (size // len(block) + 1))[:size]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Entry:
    """One write: which, when it was begun and answered (seconds, monotonic clock of the drill), and how it ended."""

    store: str
    mark: Mark
    invoked: float
    returned: float
    outcome: Outcome


def invocation_line(store: str, mark: Mark, at: float) -> str:
    """The line written before the write is sent."""
    return json.dumps(["invoke", store, mark.client, mark.number, mark.digest, at], separators=(",", ":"))


def outcome_line(store: str, mark: Mark, at: float, outcome: Outcome) -> str:
    """The line written when the answer is in."""
    return json.dumps([outcome.value, store, mark.client, mark.number, at], separators=(",", ":"))


def read(lines: Iterable[str]) -> list[Entry]:
    """Fold the lines of a ledger file into entries, in order of invocation.

    A torn last line (the writer was killed) is passed over; any other unreadable line raises IntegrityError.
    """
    opened: dict[tuple[str, str, int], tuple[Mark, float]] = {}
    ended: dict[tuple[str, str, int], tuple[float, Outcome]] = {}
    pending: str | None = None
    for number, line in enumerate(lines, 1):
        if pending is not None:
            raise errors.IntegrityError(f"The ledger cannot be read ({pending}); the run proves nothing, repeat it.")
        try:
            _fold(json.loads(line), opened, ended)
        except (ValueError, LookupError, TypeError) as error:
            pending = f"line {number}: {error}"
    return [_entry(key, opened[key], ended.get(key)) for key in opened]


def _fold(row: list[Any], opened: dict[Any, Any], ended: dict[Any, Any]) -> None:
    if row[0] == "invoke":
        _, store, client, number, content, at = row
        opened[store, client, number] = (Mark(client, number, content), float(at))
    else:
        outcome, store, client, number, at = row
        ended[store, client, number] = (float(at), Outcome(outcome))


def _entry(key: tuple[str, str, int], begun: tuple[Mark, float], end: tuple[float, Outcome] | None) -> Entry:
    mark, invoked = begun
    returned, outcome = end if end else (float("inf"), Outcome.INDETERMINATE)
    return Entry(key[0], mark, invoked, returned, outcome)
