"""Allure results of a drill: what the Allure report needs to tell the drill's story and to keep its history.

Format: Allure 2 result files (https://allurereport.org/docs/how-it-works-test-result-file/), which Allure 3 reads too. Identifiers follow
from the evidence, so that writing the same evidence twice leaves one result. No measured value is a parameter: it would change the
history id.
"""

import csv
import hashlib
import io
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attr
from allure_commons import model2
from allure_commons.types import LabelType

from drplatform.model import controls
from drplatform.model.evidence import Evidence
from drplatform.reports import documents, facts, html, summary, wording
from drplatform.reports import json as json_report

Attachment = tuple[str, str, bytes]
"""Name, media type, content."""

STATUSES = {"PASSED": "passed", "FAILED": "failed", "INCONCLUSIVE": "broken", "SKIPPED": "skipped"}

CATEGORIES: Sequence[tuple[str, Sequence[str], str]] = (
    ("Recovery took too long (RTO missed)", ("failed",), r"[\s\S]*RTO of .* missed[\s\S]*"),
    ("Too much was lost (RPO missed)", ("failed",), r"[\s\S]*RPO of .* missed[\s\S]*"),
    ("Data is wrong after recovery", ("failed",), r"[\s\S]*Data wrong:[\s\S]*"),
    ("Failed for another reason", ("failed",), r"(?![\s\S]*(R[TP]O of .* missed|Data wrong:))[\s\S]*"),
    ("The disaster was not seen to take effect", ("broken",), r"[\s\S]*Fault not confirmed:[\s\S]*"),
    ("Not measured, or not decided", ("broken",), r"[\s\S]*R[TP]O of .* not (measured|decided)[\s\S]*"),
    ("A check did not prove itself", ("broken",), r"[\s\S]*Check without proof:[\s\S]*"),
    ("Could not run", ("broken",), r"(?![\s\S]*(Fault not confirmed|R[TP]O of|Check without proof))[\s\S]*"),
)
"""How the Allure report sorts results that did not pass: name, statuses, pattern of the message (see `facts.reasons`).

The patterns match the whole message, and hold in Java (Allure 2) and in JavaScript (Allure 3), where `(?s)` is unknown."""

_NAMESPACE = uuid.UUID("6f9d1c1e-0f0b-5c53-9a50-6d7270c0ffee")


def write(evidence: Evidence, directory: Path, record: Mapping[str, Any] | None = None) -> Path:
    """Write one result with its attachments and surroundings into an Allure results directory; returns the result's file."""
    sources = [_attach(directory, evidence, attachment) for attachment in attachments(evidence, record)]
    write_surroundings(directory, evidence)
    result = _result(evidence, sources)
    return _write_item(directory / f"{result.uuid}-result.json", result)


def attachments(evidence: Evidence, record: Mapping[str, Any] | None = None) -> list[Attachment]:
    """What to attach to a result, whoever writes it (this module or the pytest plugin)."""
    document = documents.document(evidence)
    return [
        ("Report of the drill", "text/html", html.page(evidence, record).encode()),
        ("Summary", "text/plain", "\n".join(summary.lines(evidence)).encode()),
        ("Measurements", "text/csv", _csv(_measurement_rows(document))),
        ("Losses", "text/csv", _csv(_loss_rows(document))),
        ("Timeline", "text/csv", _csv(_timeline_rows(document))),
        ("Evidence", "application/json", json_report.text(evidence, record).encode()),
    ]


def labels(evidence: Evidence) -> list[tuple[str, str]]:
    """Epic, feature, story, suites, severity (by tier) and tags, as (label, value)."""
    document = documents.document(evidence)
    scenario, cadence = facts.mapping(document["scenario"]), _cadence(document)
    name = str(scenario.get("name") or "drill")
    feature = str(scenario.get("feature") or f"Drills: {cadence}")
    tags = [str(tag) for tag in facts.listing(scenario.get("tags"))]
    fixed = {
        LabelType.EPIC: f"{cadence.capitalize()} drills",
        LabelType.FEATURE: feature,
        LabelType.STORY: name,
        LabelType.PARENT_SUITE: "Recovery drills",
        LabelType.SUITE: cadence,
        LabelType.SUB_SUITE: feature,
        LabelType.SEVERITY: "critical" if "critical" in tags else "normal",
        LabelType.FRAMEWORK: "drplatform",
        LabelType.LANGUAGE: "python",
    }
    return [*fixed.items(), *((LabelType.TAG, tag) for tag in tags)]


def links(evidence: Evidence) -> list[tuple[str, str]]:
    """The controls that the drill bears on, as (name, where its framework is published)."""
    marks = sorted(map(str, facts.listing(facts.mapping(evidence.scenario).get("tags"))))
    return [(control.name, control.text) for mark in marks if (control := controls.BY_MARK.get(mark))]


def write_surroundings(directory: Path | str, evidence: Evidence) -> None:
    """Write environment.properties, categories.json and executor.json: what the report says about the run as a whole."""
    categories = [{"name": name, "matchedStatuses": list(on), "messageRegex": pattern} for name, on, pattern in CATEGORIES]
    executor = {"name": "drplatform", "type": "drplatform", "buildName": evidence.id, "reportName": "Recovery drills"}
    directory = Path(directory)
    documents.write_whole(directory / "environment.properties", _properties(_environment(documents.document(evidence))))
    documents.write_whole(directory / "categories.json", json.dumps(categories, indent=2))
    documents.write_whole(directory / "executor.json", json.dumps(executor, indent=2))


def history_id(evidence: Evidence) -> str:
    """The same for every run of a scenario on a platform."""
    return _md5(f"{facts.mapping(evidence.scenario).get('name', 'drill')}\n{evidence.platform}")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _result(evidence: Evidence, sources: list[model2.Attachment]) -> model2.TestResult:
    document = documents.document(evidence)
    name = str(facts.mapping(document["scenario"]).get("name") or "drill")
    begin = _milliseconds(evidence.started)
    return model2.TestResult(
        uuid=str(uuid.uuid5(_NAMESPACE, evidence.id)),
        name=name,
        fullName=f"drplatform.drills: {name}",
        historyId=history_id(evidence),
        testCaseId=_md5(name),
        titlePath=["Recovery drills", _cadence(document)],
        status=STATUSES[evidence.verdict.name],
        statusDetails=_details(document),
        stage="finished",
        description=evidence.summary,
        labels=[model2.Label(name=label, value=value) for label, value in labels(evidence)],
        links=[model2.Link(type="link", url=url, name=name) for name, url in links(evidence)],
        parameters=[
            model2.Parameter(name="platform", value=evidence.platform),
            model2.Parameter(name="seed", value=str(evidence.seed), excluded=True),
        ],
        steps=_steps(document, begin),
        attachments=sources,
        start=begin,
        stop=max(begin, _milliseconds(evidence.finished)),
    )


def _details(document: facts.Document) -> model2.StatusDetails | None:
    """Why it did not pass: what the categories are told apart by."""
    found = facts.reasons(document)
    if document["verdict"] == "PASSED" and not found:
        return None
    return model2.StatusDetails(message="\n".join([str(document["summary"]), *found]).strip())


def _cadence(document: facts.Document) -> str:
    return str(facts.mapping(document["scenario"]).get("cadence") or "on demand")


def _steps(document: facts.Document, begin: int) -> list[model2.TestStepResult]:
    """The sentences with the recovery's steps below the one that they ran in, then targets, checks and disasters."""
    sentences, pieces = facts.sentences(document), facts.pieces(document)
    homes = [_home(piece, sentences) for piece in pieces]
    told = [_sentence_step(s, [p for p, home in zip(pieces, homes, strict=True) if home is s], begin) for s in sentences]
    homeless = [_piece_step(p, begin) for p, home in zip(pieces, homes, strict=True) if home is None]
    recovery = _group("Recovery", homeless, begin)
    judged = [
        _group("Targets", [_target_step(t, begin) for t in facts.targets(document)], begin),
        _group("Checks", [_check_step(c, begin) for c in facts.mappings(document["checks"])], begin),
        _group("Disasters", [_fault_step(f, begin) for f in facts.faults(document)], begin),
    ]
    return [*told, *(group for group in (recovery, *judged) if group.steps)]


def _home(piece: facts.Piece, sentences: Sequence[facts.Sentence]) -> facts.Sentence | None:
    """The sentence during which most of the piece happened, or None."""

    def shared(sentence: facts.Sentence) -> float:
        if sentence.begin is None or sentence.end is None:
            return -1.0
        return min(piece.end, sentence.end) - max(piece.begin, sentence.begin)

    best = max(sentences, key=shared, default=None)
    return best if best is not None and shared(best) >= 0 else None


def _sentence_step(sentence: facts.Sentence, pieces: list[facts.Piece], begin: int) -> model2.TestStepResult:
    step = _step(sentence.text, sentence.verdict, begin, sentence.begin, sentence.end, sentence.note)
    step.steps = [_piece_step(piece, begin) for piece in pieces]
    return step


def _piece_step(piece: facts.Piece, begin: int) -> model2.TestStepResult:
    return _step(f"{piece.phase}: {piece.step}" if piece.phase else piece.step, "PASSED", begin, piece.begin, piece.end)


def _target_step(target: facts.Target, begin: int) -> model2.TestStepResult:
    text = f"{target.name.upper()} of {target.subject}: {wording.bounds(target.lower, target.upper)}"
    return _step(f"{text} (target below {wording.duration(target.target)})", target.verdict, begin, note=target.reason)


def _check_step(check: facts.Document, begin: int) -> model2.TestStepResult:
    text = f"{check.get('name')}: {check.get('finding')} (planted defect: {check.get('control', 'none planted')})"
    return _step(text, facts.verdict(check.get("verdict")), begin)


def _fault_step(fault: facts.Fault, begin: int) -> model2.TestStepResult:
    seen = f"on {', '.join(fault.targets)}: {fault.seen}" if fault.confirmed else "seen on no target"
    return _step(f"{fault.name}: {seen}", "PASSED" if fault.confirmed else "INCONCLUSIVE", begin, fault.lower, fault.upper)


def _group(name: str, steps: list[model2.TestStepResult], begin: int) -> model2.TestStepResult:
    """Steps under one title, with the worst of their statuses."""
    order = ("failed", "broken", "skipped", "passed")
    worst = min((step.status for step in steps), key=lambda s: order.index(s) if s in order else 0, default="passed")
    group = _step(name, "PASSED", begin)
    group.status, group.steps = worst, steps
    group.start, group.stop = min((s.start for s in steps), default=begin), max((s.stop for s in steps), default=begin)
    return group


def _step(
    name: str, verdict: str, origin: int, begin: float | None = None, end: float | None = None, note: str = ""
) -> model2.TestStepResult:
    start = origin + round(1000 * (begin or 0.0))
    return model2.TestStepResult(
        name=name,
        status=STATUSES.get(verdict, "broken"),
        statusDetails=model2.StatusDetails(message=note) if note else None,
        stage="finished",
        start=start,
        stop=max(start, origin + round(1000 * (end or 0.0))),
    )


def _attach(directory: Path, evidence: Evidence, attachment: Attachment) -> model2.Attachment:
    name, kind, content = attachment
    ending = {"text/html": "html", "text/plain": "txt", "text/csv": "csv", "application/json": "json"}[kind]
    source = f"{uuid.uuid5(_NAMESPACE, f'{evidence.id}/{name}')}-attachment.{ending}"
    documents.write_whole(directory / source, content)
    return model2.Attachment(name=name, source=source, type=kind)


def _write_item(path: Path, item: Any) -> Path:
    content = attr.asdict(item, filter=lambda _, value: bool(value) or value is False)
    return documents.write_whole(path, json.dumps(content, indent=2, ensure_ascii=False))


def _milliseconds(stamp: str) -> int:
    moment = datetime.fromisoformat(stamp)
    return round(1000 * (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _csv(rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _measurement_rows(document: facts.Document) -> Iterable[Sequence[object]]:
    yield ("measurement", "store", "lower bound (s)", "upper bound (s)", "target (s)", "verdict", "reason")
    for t in facts.targets(document):
        yield (t.name.upper(), t.subject, t.lower, t.upper, t.target, t.verdict, t.reason)


def _loss_rows(document: facts.Document) -> Iterable[Sequence[object]]:
    names = ("store", "acked", "failed", "indeterminate", "found", *facts.LOSSES, "unknown_kept", "unknown_gone")
    yield names
    for loss in facts.mappings(document["losses"]):
        yield [loss.get(name) for name in names]


def _timeline_rows(document: facts.Document) -> Iterable[Sequence[object]]:
    yield ("seconds", "utc", "event", "detail")
    for event in facts.mappings(document["timeline"]):
        detail = json.dumps(event["detail"], ensure_ascii=False) if event.get("detail") else ""
        yield (event.get("t"), event.get("utc"), event.get("name"), detail)


def _environment(document: facts.Document) -> dict[str, str]:
    policy = facts.mapping(document["policy"])
    versions = {f"version.{name}": str(version) for name, version in facts.mapping(document["versions"]).items()}
    return {
        "platform": str(document["platform"]),
        "operator": str(document["operator"]),
        "policy": str(policy.get("name", "")),
        **{f"policy.{name}": str(value) for name, value in policy.items() if name in ("hash", "sha256", "source")},
        **versions,
    }


def _properties(pairs: Mapping[str, str]) -> str:
    """A Java properties file: what has a meaning there is escaped."""
    return "".join(f"{_escaped(name, ' :=#!')} = {_escaped(value, '')}\n" for name, value in pairs.items())


def _escaped(text: str, special: str) -> str:
    plain = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return "".join(f"\\{c}" if c in special else c if c.isascii() else _unicode(c) for c in plain)


def _unicode(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
