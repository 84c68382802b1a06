"""The record that a drill leaves, and the hash chain that ties records together.

A record is a JSON document in canonical form (sorted keys, no spaces, UTF-8); its `hash` is the SHA-256 of the rest, and `previous` the
hash of the record before it. Whoever changes, drops, adds or reorders a record breaks the chain.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from drplatform.model import errors
from drplatform.model.verdict import Verdict

GENESIS = "0" * 64
"""The `previous` of the first record."""


@dataclass(frozen=True)
class Evidence:
    """All that a drill leaves: JSON-able, without secrets.

    `scenario`: name, cadence, tags and the sentences that ran, each with how it ended. `measurements`, `checks`, `losses` and
    `faults` (receipts) are the documents of their types. `phases` are seconds by phase of the recovery. `timeline` holds events with
    `t`, seconds since the drill began; `spans` the recovery's steps with `begin` and `end` on the same scale. `doubts` say, in words, why a run without failure is not a pass.
    """

    id: str
    scenario: Mapping[str, Any]
    verdict: Verdict
    summary: str
    started: str
    finished: str
    seconds: float
    seed: int
    platform: str
    operator: str
    policy: Mapping[str, Any]
    versions: Mapping[str, str]
    measurements: tuple[Mapping[str, Any], ...]
    checks: tuple[Mapping[str, Any], ...]
    losses: tuple[Mapping[str, Any], ...]
    faults: tuple[Mapping[str, Any], ...]
    backups: tuple[Mapping[str, Any], ...]
    phases: Mapping[str, float]
    spans: tuple[Mapping[str, Any], ...]
    timeline: tuple[Mapping[str, Any], ...]
    ledger: Mapping[str, Any]
    doubts: tuple[str, ...] = ()
    probes: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "verdict": self.verdict.name}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Evidence":
        fields = {name: document[name] for name in cls.__dataclass_fields__}
        lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
        return cls(**{**fields, **lists, "verdict": Verdict[document["verdict"]]})


def canonical(document: Mapping[str, Any]) -> bytes:
    """The one byte form of a document. Raises ValueError for what JSON cannot hold (NaN, infinity)."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(document)).hexdigest()


def link(document: Mapping[str, Any], previous: str) -> dict[str, Any]:
    """The document as a record of the chain, with `previous` and `hash`."""
    record = {**document, "previous": previous}
    return {**record, "hash": digest(record)}


def verify_chain(records: Iterable[Mapping[str, Any]]) -> str:
    """The hash of the last record (GENESIS for none). Raises IntegrityError naming the first record that does not fit."""
    previous = GENESIS
    for number, record in enumerate(records, 1):
        body = {name: value for name, value in record.items() if name != "hash"}
        if record.get("hash") != digest(body):
            raise errors.IntegrityError(f"Record {number} of the audit log was changed: its hash does not match its content.")
        if record.get("previous") != previous:
            raise errors.IntegrityError(f"Record {number} of the audit log does not follow the one before it: one is missing or moved.")
        previous = str(record["hash"])
    return previous
