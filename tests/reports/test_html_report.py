"""The page of a drill: complete, well-formed, closed to the outside, readable, and safe against what it shows."""

import base64
import dataclasses
import hashlib
import math
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import resources
from typing import Any

import example
import pytest

from drplatform.model import errors
from drplatform.model.evidence import Evidence, digest, link
from drplatform.model.secret import Secret
from drplatform.model.verdict import Verdict
from drplatform.reports import facts, html, wording
from drplatform.reports.html import view

VOID = {"meta", "br", "img", "hr", "input", "link"}


class Reader(HTMLParser):
    """Collects text and attributes, and refuses tags that are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.tags: set[str] = set()
        self.feed(page)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if "style" not in self.open[-1:]:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.texts))


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


VERDICTS = {verdict.name for verdict in Verdict} | {"SKIPPED"}


def shown(value: str) -> str:
    """How a text of the evidence appears on the page."""
    if value in VERDICTS:
        return value.lower()
    if value == "not run":
        return "skipped"
    if value.startswith("failed: "):
        return value.removeprefix("failed: ")
    return wording.moment(value) if re.match(r"\d{4}-\d\d-\d\dT", value) else value


@pytest.mark.parametrize("make", example.ALL)
def test_every_text_and_count_of_the_evidence_is_on_the_page(make: Any) -> None:
    evidence = make()
    text = Reader(html.page(evidence)).text
    document = evidence.to_json()
    timeline = document.pop("timeline")
    skipped = {"rto", "rpo"} | {b["started"] for b in document["backups"]}
    missing = [v for v in leaves(document) if isinstance(v, str) and v not in skipped and shown(v) not in text]
    assert missing == []
    for loss in document["losses"]:
        for name in ("acked", "lost", "phantom", "found", "indeterminate"):
            assert wording.count(loss[name]) in text
    for measurement in document["measurements"]:
        assert wording.bounds(measurement["lower"], measurement["upper"]) in text
        assert wording.duration(measurement["target"]) in text
    for event in timeline:
        assert event["name"] in text and wording.elapsed(event["t"]) in text
        assert wording.moment(event["utc"], precise=True) in text
        assert all(str(v) in text for v in leaves(event.get("detail", {})))
    assert str(evidence.seed) in text


@pytest.mark.parametrize("make", example.ALL)
def test_the_page_says_the_verdict_in_words_with_its_reason(make: Any) -> None:
    evidence = make()
    text = Reader(html.page(evidence)).text
    assert text.index(evidence.verdict.name) < text.index("Targets and what was measured")
    assert wording.HEADLINES[evidence.verdict.name] in text and evidence.summary in text


@pytest.mark.parametrize("make", (*example.ALL, example.bare))
def test_the_page_asks_nobody_for_anything_and_runs_nothing(make: Any) -> None:
    page = html.page(make())
    reader = Reader(page)
    assert not reader.tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert not [a for a in reader.attributes if a[1] in ("src", "href", "style", "srcset", "action") or a[1].startswith("on")]
    assert not re.search(r"https?:|//[a-z]|@import|url\(", page)


def test_the_content_security_policy_allows_exactly_the_style_sheet() -> None:
    page = html.page(example.passed())
    (policy,) = [v for t, n, v in Reader(page).attributes if (t, n) == ("meta", "content") and "default-src" in v]
    style = page.split("<style>")[1].split("</style>")[0]
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"


HOSTILE = "<script>alert('x')</script>\"'&{{ 7*7 }}<b>"


def hostile(value: Any) -> Any:
    """The value with every text in it, names included, made hostile."""
    if isinstance(value, dict):
        return {(name if name in KNOWN else name + HOSTILE): hostile(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [hostile(inner) for inner in value]
    return value + HOSTILE if isinstance(value, str) and value not in KNOWN else value


KNOWN = {f.name for f in dataclasses.fields(Evidence)} | VERDICTS | {"rto", "rpo", "name", "subject", "verdict", "lower", "upper", "target"}
KNOWN |= {
    "sentences",
    "text",
    "tags",
    "finding",
    "control",
    "store",
    "examples",
    "lost",
    "fault",
    "targets",
    "seen",
    "effect",
    "id",
    "kind",
}
KNOWN |= {
    "detail",
    "t",
    "utc",
    "step",
    "phase",
    "begin",
    "end",
    "first_failure",
    "back",
    "period",
    "timeout",
    "samples",
    "failures",
    "note",
}


def test_hostile_names_are_only_shown() -> None:
    evidence = Evidence.from_json({**hostile(example.failed().to_json()), "verdict": "FAILED"})
    page = html.page(evidence)
    reader = Reader(page)
    assert "script" not in reader.tags and "<script" not in page
    assert f"mongodb{HOSTILE}" in reader.text and "{{ 7*7 }}" in reader.text and "49<b>" not in reader.text


def test_a_secret_is_refused_wherever_it_hides() -> None:
    canary = Secret("canary-5c1f")
    for change in ({"doubts": (canary,)}, {"policy": {"deep": [{"key": canary}]}}, {"versions": {"mongodb": canary}}):
        with pytest.raises(errors.IntegrityError, match="holds a Secret") as refusal:
            html.page(dataclasses.replace(example.passed(), **change))
        assert "canary" not in str(refusal.value)


def test_an_empty_evidence_is_shown_as_proving_nothing() -> None:
    text = Reader(html.page(example.bare())).text
    for sentence in ("Nothing was measured.", "Nothing was checked.", "Nothing was broken", "This run proves nothing", "0 of 0"):
        assert sentence in text


@pytest.mark.parametrize("value", (math.nan, math.inf, None, "12", True))
def test_a_number_that_is_none_is_shown_as_not_measured(value: Any) -> None:
    broken = {"name": "rto", "subject": "mongodb", "target": value, "lower": value, "upper": value, "verdict": "INCONCLUSIVE"}
    evidence = dataclasses.replace(
        example.passed(),
        measurements=(broken,),
        probes={"mongodb": {"back": [value, None], "down": value}},
        spans=({"step": "x", "phase": "restore", "begin": value, "end": 1.0},),
        losses=({"store": "mongodb", "lost": value},),
    )
    text = Reader(html.page(evidence)).text
    assert text.count("not measured") >= 3
    assert not re.search(r"\b(nan|inf|None)\b", text.replace("d.pop('hash', None)", ""))


def test_facts_that_are_only_half_there_are_shown_as_far_as_they_go() -> None:
    evidence = dataclasses.replace(
        example.passed(),
        scenario={"name": "s", "sentences": [{"text": "a bare sentence"}, "not a sentence"]},
        faults=({"fault": "kill"}, {}),
        backups=({"id": "b", "chunks": [{"plain": 2048, "stored": 1024}], "end": {"sequence": [12, 3]}}, {}),
        probes={"mongodb": {"down": [1.0, 2.0], "back": None}, "redis": None, "files": {"down": [3.0]}},
        checks=({"name": "half"},),
    )
    text = Reader(html.page(evidence)).text
    for words in ("a bare sentence", "kill", "2 KiB", "12.3", "out since 2.000 s, not seen back", "half", "none planted"):
        assert words in text


def test_a_sentence_that_stands_twice_has_each_time_its_own_times() -> None:
    names = (("activity.begin", 1.0), ("activity.end", 2.0), ("activity.begin", 5.0), ("activity.failed", 9.5))
    events = [{"name": name, "t": t, "detail": {"text": "clients go on"}} for name, t in names]
    results = [{"text": "clients go on", "result": result} for result in ("passed", "failed: no answer", "not run")]
    first, second, third = facts.sentences({"timeline": events, "scenario": {"sentences": results}})
    assert (first.begin, first.end, first.verdict) == (1.0, 2.0, "PASSED")
    assert (second.begin, second.end, second.note) == (5.0, 9.5, "no answer")
    assert (third.begin, third.end, third.verdict) == (None, None, "SKIPPED")


def test_a_store_that_never_came_back_is_not_drawn_as_answering() -> None:
    probes = {"redis": {"samples": 900, "failures": 400, "down": None, "back": None}, "files": {"samples": 9, "failures": 0}}
    evidence = dataclasses.replace(example.passed(), probes=probes)
    lanes = {lane.label: lane for lane in view.recovery(evidence.to_json()).outages}
    assert [bar.kind for bar in lanes["redis"].bars] == ["unclear"] and "lasting end" in lanes["redis"].text
    assert [bar.kind for bar in lanes["files"].bars] == ["up"] and lanes["files"].text == "no outage seen"


def test_the_digests_tie_the_page_to_the_evidence_and_the_audit_log() -> None:
    evidence = example.passed()
    assert digest(evidence.to_json()) in html.page(evidence)
    record = link(evidence.to_json(), "ab" * 32)
    page = html.page(evidence, record)
    assert record["hash"] in page and "ab" * 32 in page


def test_the_file_is_written_whole_under_a_safe_name(tmp_path: Any) -> None:
    evidence = dataclasses.replace(example.passed(), id="../a b/ü")
    path = html.write(evidence, tmp_path / "new")
    assert path == tmp_path / "new" / "a-b.html"
    assert [p.name for p in path.parent.iterdir()] == ["a-b.html"]
    assert path.read_text(encoding="utf-8") == html.page(evidence)


def colours() -> Iterator[dict[str, str]]:
    style = (resources.files("drplatform.reports") / "templates" / "drill.css").read_text(encoding="utf-8")
    blocks = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6})", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)]
    assert len(blocks) == 3, "light, dark and print"
    yield from blocks


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


TEXTS = (
    ("ink", "card"), ("ink", "page"), ("soft", "card"), ("soft", "page"), ("ink", "faint"), ("card", "fault"),
    ("pass", "pass-back"), ("fail", "fail-back"), ("doubt", "doubt-back"), ("fail", "card"), ("doubt", "card"),
    ("ink", "pass-back"), ("ink", "fail-back"), ("ink", "doubt-back"),
)  # fmt: skip
SHAPES = (
    "bar",
    "bar-strong",
    "up",
    "down",
    "perhaps",
    "fault",
    "detect",
    "decide",
    "fence",
    "provision",
    "fetch",
    "restore",
    "replay",
    "verify",
    "switch",
)


def test_contrast_meets_wcag_aa_in_light_dark_and_print() -> None:
    """4.5 for text, 3 for shapes that carry meaning (WCAG 2.2, 1.4.3 and 1.4.11)."""
    for block in colours():
        poor = [pair for pair in TEXTS if contrast(block[pair[0]], block[pair[1]]) < 4.5]
        poor += [(name, "card") for name in SHAPES if contrast(block[name], block["card"]) < 3]
        assert not poor
