"""What the page shows, section by section, as values that the template only has to print."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.model import evidence as records
from drplatform.reports import facts, wording
from drplatform.reports.html import charts

Document = facts.Document

_GROUPS = (
    ("rto", "How long was it out?", "Recovery time (RTO): from the disaster until users could read old data and write new data again."),
    (
        "rpo",
        "How much was lost?",
        "Data loss (RPO): how far before the disaster the oldest lost write lies, and how many acknowledged writes are gone.",
    ),
    ("skew", "How far apart were the stores?", "Skew: by how many seconds one store was brought back to a later moment than another."),
)


@dataclass(frozen=True)
class Tile:
    """One figure at the top of the page."""

    label: str
    figure: str
    note: str


@dataclass(frozen=True)
class TargetRow:
    target: facts.Target
    measured: charts.Bar | None
    certain: charts.Bar | None
    allowed: float | None


@dataclass(frozen=True)
class TargetGroup:
    title: str
    meaning: str
    axis: charts.LogAxis
    rows: tuple[TargetRow, ...]


@dataclass(frozen=True)
class Lane:
    """One row of the recovery chart."""

    label: str
    note: str
    bars: tuple[charts.Bar, ...]
    text: str


@dataclass(frozen=True)
class Recovery:
    """The outage and the recovery on one axis of time."""

    axis: charts.TimeAxis
    faults: tuple[tuple[int, float, facts.Fault], ...]
    outages: tuple[Lane, ...]
    steps: tuple[Lane, ...]


def tiles(document: Document) -> list[Tile]:
    return [_time_tile(document), _loss_tile(document), _check_tile(document), _fault_tile(document)]


def _worst(document: Document, name: str) -> tuple[str, facts.Target | None]:
    """The worst upper bound of all stores; `not measured` as soon as one is missing."""
    found = [t for t in facts.targets(document) if t.name == name]
    if not found or any(t.upper is None for t in found):
        return wording.UNKNOWN, next((t for t in found if t.upper is None), None)
    worst = max(found, key=lambda t: (t.upper or 0) / (t.target or 1))
    return wording.at_most(worst.upper), worst


def _time_tile(document: Document) -> Tile:
    figure, worst = _worst(document, "rto")
    return Tile("Back in service after at most", figure, f"{worst.subject}; target below {wording.duration(worst.target)}" if worst else "")


def _loss_tile(document: Document) -> Tile:
    figure, _ = _worst(document, "rpo")
    losses = facts.mappings(document.get("losses"))
    lost, acked = (sum(wording.known(x.get(name)) or 0 for x in losses) for name in ("lost", "acked"))
    note = f"{wording.count(lost)} of {wording.counted(acked, 'acknowledged write')} lost" if losses else "the ledger was not compared"
    return Tile("Lost data of at most", figure, note)


def _check_tile(document: Document) -> Tile:
    checks = facts.mappings(document.get("checks"))
    passed = sum(facts.verdict(c.get("verdict")) == "PASSED" for c in checks)
    blind = sum(c.get("control") != "caught" for c in checks)
    note = (
        "each caught a defect planted for it"
        if checks and not blind
        else f"{blind} did not prove themselves"
        if checks
        else "nothing was checked"
    )
    return Tile("Checks passed", f"{passed} of {len(checks)}", note)


def _fault_tile(document: Document) -> Tile:
    found = facts.faults(document)
    seen = sum(f.confirmed for f in found)
    return Tile("Disasters that took effect", f"{seen} of {len(found)}", "seen by an independent look" if found else "nothing was broken")


def target_groups(document: Document) -> list[TargetGroup]:
    found = facts.targets(document)
    known = [_group(title, meaning, [t for t in found if t.name == name]) for name, title, meaning in _GROUPS]
    others = [t for t in found if t.name not in facts.NAMES]
    return [group for group in (*known, _group("Other measurements", "", others)) if group.rows]


def _group(title: str, meaning: str, found: list[facts.Target]) -> TargetGroup:
    values = [v for t in found for v in (t.target, t.lower, t.upper) if v is not None]
    axis = charts.log_axis(values)
    return TargetGroup(title, meaning, axis, tuple(_target_row(t, axis) for t in found))


def _target_row(target: facts.Target, axis: charts.LogAxis) -> TargetRow:
    allowed = axis.x(target.target) if target.target is not None else None
    if target.lower is None or target.upper is None:
        return TargetRow(target, None, None, allowed)
    certain = charts.bar(axis, 0, target.lower, "certain")
    return TargetRow(target, charts.bar(axis, target.lower, target.upper, "between"), certain, allowed)


def recovery(document: Document) -> Recovery | None:
    pieces, outages, faults = facts.pieces(document), facts.outages(document), facts.faults(document)
    moments = [
        *(t for p in pieces for t in (p.begin, p.end)),
        *(t for o in outages for t in (o.last_answer, o.first_silence, o.last_silence, o.first_answer) if t is not None),
        *(t for f in faults for t in (f.lower, f.upper) if t is not None),
    ]
    axis = charts.time_axis(moments)
    if axis is None:
        return None
    marks = [(n, axis.x(f.upper), f) for n, f in enumerate(faults, 1) if f.upper is not None]
    return Recovery(axis, tuple(marks), tuple(_outage_lane(o, axis) for o in outages), tuple(_step_lane(p, axis) for p in pieces))


def _step_lane(piece: facts.Piece, axis: charts.TimeAxis) -> Lane:
    took = wording.duration(piece.end - piece.begin)
    title = f"{piece.step}: {took}, from {wording.elapsed(piece.begin)} to {wording.elapsed(piece.end)}"
    return Lane(piece.step, piece.phase, (charts.bar(axis, piece.begin, piece.end, f"phase-{_css(piece.phase)}", title),), took)


def _css(word: str) -> str:
    """A word as part of a class name."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in word.lower())


def _outage_lane(outage: facts.Outage, axis: charts.TimeAxis) -> Lane:
    note = probing(outage.more)
    if outage.last_answer is None or outage.first_silence is None:
        quiet = wording.known(outage.more.get("failures")) == 0
        kind, text = ("up", "no outage seen") if quiet else ("unclear", "no outage with a lasting end seen")
        return Lane(outage.store, note, (charts.bar(axis, axis.begin, axis.end, kind, text),), text)
    bars = [
        charts.bar(axis, axis.begin, outage.last_answer, "up", "answered"),
        charts.bar(axis, outage.last_answer, outage.first_silence, "perhaps", "stopped in between"),
    ]
    gone = f"out since {wording.elapsed(outage.first_silence)}"
    if outage.last_silence is None or outage.first_answer is None:
        return Lane(outage.store, note, (*bars, charts.bar(axis, outage.first_silence, axis.end, "down")), f"{gone}, not seen back")
    bars += [
        charts.bar(axis, outage.first_silence, outage.last_silence, "down", "did not answer"),
        charts.bar(axis, outage.last_silence, outage.first_answer, "perhaps", "came back in between"),
        charts.bar(axis, outage.first_answer, axis.end, "up", "answered again"),
    ]
    back = f"back between {wording.elapsed(outage.last_silence)} and {wording.elapsed(outage.first_answer)}"
    return Lane(outage.store, note, tuple(bars), f"{gone}, {back}")


def probing(more: Mapping[str, Any]) -> str:
    """How a store was probed, in words."""
    parts = [
        f"{wording.counted(more['samples'], 'probe')}" if "samples" in more else "",
        f"{wording.count(more['failures'])} failed" if "failures" in more else "",
        f"one every {wording.duration(more['period'])}" if "period" in more else "",
        f"each given up after {wording.duration(more['timeout'])}" if "timeout" in more else "",
    ]
    return ", ".join(part for part in parts if part)


def complaints(document: Document) -> list[tuple[str, list[str]]]:
    """What the failed probes said, by store."""
    noted = [(o.store, [str(note) for note in facts.listing(o.more.get("notes"))]) for o in facts.outages(document)]
    return [(store, notes) for store, notes in noted if notes]


def loss_columns() -> list[tuple[str, str]]:
    return [
        ("acked", "Acknowledged"),
        ("lost", "Lost"),
        ("phantom", "Never written"),
        ("duplicated", "Twice"),
        ("mutated", "Changed"),
        ("reordered", "Out of order"),
        ("indeterminate", "Unknown"),
        ("failed", "Refused"),
        ("found", "Found"),
    ]


def examples(document: Document) -> list[tuple[str, str, list[str]]]:
    """(store, finding in words, marks) of every finding that names examples."""
    words = {**facts.LOSSES, "unknown_kept": "outcome unknown, and there", "unknown_gone": "outcome unknown, and not there"}
    return [
        (str(loss.get("store")), words.get(name, name), [str(mark) for mark in facts.listing(marks)])
        for loss in facts.mappings(document.get("losses"))
        for name, marks in facts.mapping(loss.get("examples")).items()
    ]


def backups(document: Document) -> list[dict[str, str]]:
    return [_backup(item) for item in facts.mappings(document.get("backups"))]


def _backup(item: Document) -> dict[str, str]:
    chunks = item.get("chunks")
    pieces = facts.mappings(chunks)
    told = ("id", "store", "kind", "begin", "end", "finished", "chunks", "plain_bytes", "stored_bytes")
    return {
        "store": str(item.get("store", "–")),
        "kind": str(item.get("kind", "–")),
        "id": str(item.get("id", "–")),
        "finished": wording.moment(item["finished"]) if item.get("finished") else "–",
        "position": position(item.get("end")),
        "plain": wording.size(item.get("plain_bytes", sum(c.get("plain", 0) for c in pieces) if pieces else None)),
        "stored": wording.size(item.get("stored_bytes", sum(c.get("stored", 0) for c in pieces) if pieces else None)),
        "chunks": wording.count(len(pieces) if pieces else chunks),
        "more": plain(facts.rest(item, *told, "begin", "started", "keys", "recipients", "digests", "counts")),
    }


def position(value: object) -> str:
    """A position in a store's history, from its document or from text."""
    if not isinstance(value, Mapping):
        return str(value) if value else "–"
    return ".".join(map(str, facts.listing(value.get("sequence")))) + (f" of {value['timeline']}" if value.get("timeline") else "")


def plain(value: object) -> str:
    """Any value of a document on one line."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {plain(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain(inner) for inner in value) or "none"
    if value is None:
        return "none"
    return json.dumps(value) if isinstance(value, bool | float) else str(value)


def described(value: object) -> list[tuple[str, str]]:
    """A mapping as terms and descriptions; nested mappings follow their path (`objectives.rto.critical`)."""
    return [pair for name, inner in facts.mapping(value).items() for pair in _described(str(name), inner)]


def _described(name: str, value: object) -> list[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        return [pair for inner, deep in value.items() for pair in _described(f"{name}.{inner}", deep)]
    return [(name, plain(value))]


def hashes(document: Document, record: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """The digests that tie this page to the evidence, and the evidence to the audit log."""
    if record:
        return [
            ("Hash of the audit record", str(record.get("hash", "–"))),
            ("Hash of the record before it", str(record.get("previous", "–"))),
        ]
    try:
        return [("SHA-256 of the evidence", records.digest(document))]
    except ValueError:
        return [("SHA-256 of the evidence", "none: it holds a number that JSON has no form for")]
