"""The compliance report as PDF and as OSCAL: what they say is what the assessment holds, in the forms that others read."""

import copy
import dataclasses
import json
import re
import zlib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest

from drplatform import environment
from drplatform.model import compliance, controls, strategy
from drplatform.model.compliance import Assessment, Clause, Due, Finding, Status
from drplatform.model.deficiency import Action, Deficiency
from drplatform.reports import oscal, pdf

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
SCHEMA = Path(__file__).parent / "oscal" / "oscal_assessment-results_schema.json"
"""NIST's own, OSCAL 1.2.1, in the public domain."""

CLAUSES = {s: Clause(f"c{n}", "Backups", f"Promise {n} “quoted” – with ☃", (name,)) for n, (s, name) in enumerate(zip(Status, list(controls.BY_NAME)[:4], strict=True))}  # fmt: skip
ACTION = Action("drill-2", "restore  with\nmore connections", "ops ", date(2026, 7, 1), NOW)
OPEN = Deficiency("drill-2", "S", NOW, "RTO missed:\n two lines", ("c3",), (ACTION,))
CLOSED = Deficiency("drill-1", "S", NOW - timedelta(days=9), "", (), (), "drill-3", NOW)


def assessment():
    findings = tuple(
        Finding(clause, status, ("20260610T101112Z-abcdef", "drill-2") if status is not Status.NEVER_TESTED else (), NOW, "because")
        for status, clause in CLAUSES.items()
    )
    return Assessment(NOW, findings, (Due("monthly", "monthly", None, None, 0),), ("drill-9",), (OPEN, CLOSED))


def validator():
    """The schema's patterns are of XML Schema, whose classes of letters Python writes otherwise."""
    text = SCHEMA.read_text().replace(r"\\p{L}", r"[^\\W\\d_]").replace(r"\\p{N}", r"\\d")
    return jsonschema.Draft7Validator(json.loads(text), format_checker=jsonschema.FormatChecker())


@pytest.mark.parametrize("make", [assessment, lambda: compliance.assess(strategy.CLAUSES, [], environment.load_policy(None), NOW)])
def test_the_official_schema_accepts_the_export(make):
    assert [e.message for e in validator().iter_errors(oscal.document(make()))] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("results", 0, "findings", 0, "target", "status", "state"), "green"),
        (("results", 0, "uuid"), "none"),
        (("results", 0, "observations"), []),
        (("metadata", "last-modified"), "yesterday"),
    ],
)
def test_the_schema_is_not_blind(path, value):
    """The planted defect of the test above."""
    bad = copy.deepcopy(oscal.document(assessment()))
    place = bad["assessment-results"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert list(validator().iter_errors(bad))


def test_only_what_is_proven_is_satisfied():
    (result,) = oscal.document(assessment())["assessment-results"]["results"]
    states = {f["target"]["title"]: f["target"]["status"]["state"] for f in result["findings"]}
    for status, clause in CLAUSES.items():
        assert states[clause.controls[0]] == ("satisfied" if status is Status.PROVEN else "not-satisfied")
    risks = {r["status"]: r for r in result["risks"]}
    assert set(risks) == {"remediating", "closed"}
    assert risks["remediating"]["remediations"][0]["title"] == "restore with more connections"
    assert all(re.fullmatch(r"[a-z][a-z0-9.-]+", c.token) for c in controls.ALL) and len({c.token for c in controls.ALL}) == len(
        controls.ALL
    )


def test_the_same_assessment_gives_the_same_document():
    assert oscal.document(assessment()) == oscal.document(assessment())


def test_every_control_of_the_strategy_is_known():
    assert {name for clause in strategy.CLAUSES for name in clause.controls} <= controls.BY_NAME.keys()


def words(content):
    """The text of a PDF's pages, as far as the standard fonts show it."""
    streams = re.findall(rb"stream\n(.*?)\nendstream", content, re.DOTALL)
    pages = b"".join(zlib.decompress(s) for s in streams if s[:1] == b"x")
    return re.sub(r"\\(.)", r"\1", " ".join(t.decode("cp1252") for t in re.findall(rb"\(((?:\\.|[^()\\])*)\) ?Tj", pages)))


def test_the_pdf_holds_every_clause_status_and_deficiency():
    content = pdf.content(assessment())
    told = words(content)
    assert content.startswith(b"%PDF-")
    for text in (
        "never tested",
        "proven",
        "failed",
        "stale",
        "“quoted”",
        "overdue",
        "drill-9",
        "action planned",
        "drill-3, 2026-06-15",
        "nothing",
    ):
        assert text in told, text
    assert all(name in told for name in assessment().controls)
    assert "?" in told and "☃" not in told


def test_the_pdf_of_an_empty_and_of_a_long_assessment():
    assert words(pdf.content(Assessment(NOW, (), (), ())))
    many = dataclasses.replace(assessment(), findings=assessment().findings * 60)
    assert pdf.content(many).count(b"/Type /Page\n") >= 10


def test_the_shipped_features_name_controls_that_there_are_and_pytest_knows_them():
    root = Path(environment.__file__).parents[2] / "features"
    known = {line.strip().split(":")[0] for line in (root / "pytest.ini").read_text().splitlines() if line.startswith("    ")}
    marks = {c.mark for c in controls.ALL}
    for feature in root.glob("*/*.feature"):
        tags = {tag for s in environment.read_feature(feature) for tag in s.tags}
        assert tags <= known, f"{feature.name}: {tags - known} are no markers of features/pytest.ini"
        assert not {t for t in tags if t.startswith(("soc_", "iso_", "nist_", "dora_", "nis2_", "pci_", "hipaa_"))} - marks
