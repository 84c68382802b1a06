"""Runbooks and reviews as documents: they say what the engine does and what the record holds, in Markdown and in HTML alike."""

import html
import re
from datetime import UTC, date, datetime, timedelta

import example
import pytest

from drplatform import environment, exercises
from drplatform.engine import handbook
from drplatform.model import deficiency, history, instructions
from drplatform.model.history import Expected
from drplatform.reports import documents, prose, review, runbook


@pytest.fixture(scope="module")
def env():
    return environment.Environment.open(environment.Settings.read({}, seed=1))


@pytest.fixture(scope="module")
def books(env):
    return {book.component: book for book in exercises.books(env)}


def test_there_is_a_runbook_for_every_store_of_the_policy(env, books):
    assert set(books) == {*env.policy.stores, "services", "cluster", "failover", "switchover", "rejoin"}


def test_the_runbook_of_a_failover_has_the_steps_of_one(books):
    names = [i.name for i in books["failover"].instructions]
    order = [
        "See that the region is down", "Decide to fail over to the secondary region", "Stop the services of the primary region",
        "Fence mongodb in the primary region", "Promote mongodb in the secondary region", "Point the name of redis to the secondary region",
        "See that redis serves its users", "Start the service api", "Run the integration test of the service api", "Run the end-to-end test", "Sign off the manual verification",
    ]  # fmt: skip
    assert [names.index(name) for name in order] == sorted(names.index(name) for name in order)
    assert "Save what mongodb in the primary region alone has" in [i.name for i in books["rejoin"].instructions]
    assert "Hand redis over to the secondary region" in [i.name for i in books["switchover"].instructions]
    assert "Restore the cluster in the order of dependencies" in [i.name for i in books["cluster"].instructions]


def test_a_runbook_has_exactly_the_steps_that_run(env, books):
    entries = handbook.steps(exercises._reading_kit(env), "mongodb")
    names = [step.name for entry in entries for lane in handbook.lanes(entry) for step in lane]
    assert [i.name for i in books["mongodb"].instructions] == names and len(names) >= 8
    assert "Put the configuration in its place" in [i.name for i in books["configuration"].instructions]


def test_every_step_says_what_to_type_how_to_tell_and_how_to_undo(books):
    for book in books.values():
        for step in book.instructions:
            assert step.tell != instructions.ELSE.tell, f"{step.name} is of a phase without a guide"
            assert step.command and step.tell and step.undo and step.within > 0
            assert "{" not in step.command + step.tell + step.undo


def test_the_document_tells_how_long_drills_took(books):
    past = {"Restore redis": Expected(7, 0.56, 0.94)}
    text = prose.markdown(runbook.document(books["redis"], past))
    assert "0.56 s (7 runs, longest 0.94 s)" in text and "not timed yet" in text
    assert "No drill has timed them yet" in prose.markdown(runbook.document(books["files"], past))
    for step in books["redis"].instructions:
        assert step.name in text and step.undo in text and step.tell in text


def test_durations_come_from_drills_that_passed_alone():
    passed, failed = ({**documents.document(make()), "hash": "1"} for make in (example.passed, example.failed))
    found = history.durations(history.points([passed, failed]))
    assert found["load the full backup of MongoDB"].runs == 1
    assert found["load the full backup of MongoDB"].median == pytest.approx(3.6)


def test_both_forms_hold_the_same_text_and_nothing_unescaped(tmp_path):
    made = prose.Document("T <b>", "Kind", "about `x<y`", [
        prose.Heading("H"), prose.Text("a & b"), prose.Code("rm <all>"), prose.Items(["one", "two"], numbered=True),
        prose.Table(("A", "B"), [("1|2", "x\ny"), ("", "")]),
    ])  # fmt: skip
    written = prose.write(made, tmp_path, "doc")
    markdown, page = written["markdown"].read_text(), written["html"].read_text()
    assert "| 1\\|2 | x<br>y |" in markdown and "2. two" in markdown
    assert "<all>" not in page and "T <b>" not in page and "<code>x&lt;y</code>" in page
    text = html.unescape(re.sub(r"<[^>]+>", " ", page))
    assert all(word in text for word in ("a & b", "rm <all>", "one", "1|2"))


@pytest.mark.parametrize("make", [*example.ALL, example.bare])
def test_a_review_is_prefilled_for_every_kind_of_drill(make):
    text = prose.markdown(review.document(documents.document(make()), None))
    assert "What surprised us" in text or "what surprised us" in text
    if make is example.failed:
        assert "RTO of mongodb missed" in text and "began: load the full backup of MongoDB" in text


def test_a_review_tracks_its_actions_to_their_retest():
    record, now = documents.document(example.failed()), datetime(2026, 12, 1, tzinfo=UTC)
    action = deficiency.Action(str(record["id"]), "restore in parallel", "ops", date(2026, 12, 24), now)
    found = deficiency.Deficiency(str(record["id"]), "S", now - timedelta(days=7), "late", (), (action,))
    text = prose.markdown(review.document(record, found))
    assert "| restore in parallel | ops | 2026-12-24 | waits for a retest |" in text and "compliance action" in text
