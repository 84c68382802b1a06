"""The sentences of drills become activities, and plans say everything that is missing before anything is touched."""

from pathlib import Path

import pytest

from drplatform import environment
from drplatform.engine import phrases
from drplatform.model import drill, errors
from drplatform.model.backup import BackupKind

FEATURES = sorted((Path(__file__).parents[2] / "features").rglob("*.feature"))

SENTENCES = {
    "clients write to MongoDB, Redis and file storage": drill.Write(("mongodb", "redis", "files")),
    "MongoDB has a full backup": drill.BackUp("mongodb", BackupKind.FULL),
    "Redis has a snapshot backup": drill.BackUp("redis", BackupKind.SNAPSHOT),
    "the log of MongoDB is captured continuously": drill.Capture("mongodb"),
    "clients have written 7 more times to each store": drill.GoOnWriting(7),
    "recovery from backups brings back MongoDB as it was just before the drop and Redis as of its latest backup": drill.Recover(
        {"mongodb": drill.BEFORE_DROP, "redis": drill.LATEST}
    ),
    "recovery from backups brings back Redis as of its latest backup": drill.Recover({"redis": drill.LATEST}),
}

GOOD = [
    "clients write to MongoDB and Redis",
    "MongoDB has a full backup",
    "the log of MongoDB is captured continuously",
    "a collection of MongoDB is dropped by mistake",
    "recovery from backups brings back MongoDB as it was just before the drop",
    "the data loss of each store meets its objective",
]

EVERYTHING = frozenset({"store:mongodb", "store:redis", "log:mongodb", "namespaced:mongodb", "provision", "fault:collection-dropped"})


def planned(sentences, offered=EVERYTHING):
    scenario = phrases.scenario("F", "S", ["@monthly"], sentences, "test", environment.fault)
    return drill.plan(scenario, environment.load_policy(None), 1, offered)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_becomes_its_activity(sentence):
    found = phrases.activity(sentence)
    assert found.text == sentence
    assert {**vars(found), "text": ""} == vars(SENTENCES[sentence])


@pytest.mark.parametrize(
    "sentence",
    [
        "something else happens",
        "clients write to Postgres",
        "MongoDB has a partial backup",
        "recovery from backups brings back MongoDB",
        "recovery from backups brings back everything as of its latest backup",
    ],
)
def test_what_is_not_understood_is_refused_by_name(sentence):
    with pytest.raises(errors.PlanError):
        phrases.activity(sentence)


def test_all_sentences_that_are_not_understood_are_listed_at_once():
    with pytest.raises(errors.PlanError) as caught:
        phrases.scenario("F", "S", [], ["first nonsense", *GOOD, "second nonsense"], "test", environment.fault)
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize("feature", FEATURES, ids=lambda path: path.stem)
def test_every_feature_is_understood(feature):
    scenarios = environment.read_feature(feature)
    assert scenarios
    assert all(isinstance(activity, drill.Activity) and activity.text for s in scenarios for activity in s.activities)


def test_a_good_scenario_is_planned():
    plan = planned(GOOD)
    assert plan.stores == ("mongodb", "redis")
    assert plan.recovered == {"mongodb": drill.BEFORE_DROP}
    assert plan.scenario.cadence == "monthly"


def test_a_plan_lists_every_missing_capability_at_once():
    with pytest.raises(errors.PlanError) as caught:
        planned(GOOD, frozenset({"store:mongodb", "fault:collection-dropped"}))
    text = "\n".join(caught.value.problems)
    for missing in ("store:redis", "log:mongodb", "provision", "namespaced:mongodb"):
        assert missing in text


@pytest.mark.parametrize(
    ("without", "problem"),
    [
        ("clients write to MongoDB and Redis", "no client writes"),
        ("MongoDB has a full backup", "no full backup"),
        ("the log of MongoDB is captured continuously", "its log is not captured"),
        ("a collection of MongoDB is dropped by mistake", "no disaster happens"),
        ("the data loss of each store meets its objective", "nothing is expected"),
    ],
)
def test_a_scenario_that_would_prove_nothing_is_refused(without, problem):
    with pytest.raises(errors.PlanError, match=problem):
        planned([sentence for sentence in GOOD if sentence != without])


def test_a_feature_that_is_no_gherkin_is_refused(tmp_path):
    path = tmp_path / "broken.feature"
    path.write_text("Scenario Outline without a feature\n  Given what\n")
    with pytest.raises(errors.PlanError, match=r"broken\.feature"):
        environment.read_feature(path)


def test_one_thing_may_be_spoken_of_as_one():
    assert phrases.activity("Redis holds reference data").stores == ("redis",)
    lost = phrases.activity("the Redis server of the secondary region is killed and its disk is lost")
    assert lost.parameters == {"region": "secondary", "stores": ("redis",)}
