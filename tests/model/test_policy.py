"""Policies: the default one holds the strategy's targets; a bad one is refused with every problem at once."""

import copy
import random

import pytest

from drplatform import environment
from drplatform.model import errors, policy

HOUR = 3600.0


@pytest.fixture
def document():
    return {
        "name": "example",
        "objectives": {
            "rto": {"critical": "1h", "non-critical": "4h"},
            "rpo": {"database": "5m", "files": "24h", "configuration": "24h"},
        },
        "stores": {"db": {"kind": "mongodb", "tier": "critical", "data_class": "database"}},
        "backups": [{"store": "db", "kind": "full", "schedule": "0 1 * * *", "retention": "30d"}],
        "drills": [{"name": "database-recovery", "cadence": "monthly"}],
        "services": [
            {"name": "api", "tier": "critical", "depends_on": ["db"]},
            {"name": "gateway", "tier": "non-critical", "depends_on": ["api"]},
        ],
    }


def problems(document):
    with pytest.raises(errors.PolicyError) as caught:
        policy.parse(document)
    return caught.value.problems


def test_the_default_policy_holds_the_targets_of_the_strategy():
    found = environment.load_policy(None)
    assert found.objectives.rto == {"critical": HOUR, "non-critical": 4 * HOUR}
    assert found.objectives.rpo == {"database": 300.0, "files": 24 * HOUR, "configuration": 24 * HOUR}
    assert {(b.store, b.kind.value): b.retention / 86400 for b in found.backups} == {
        ("mongodb", "full"): 30,
        ("mongodb", "incremental"): 7,
        ("mongodb", "log"): 7,
        ("redis", "snapshot"): 7,
        ("redis", "log"): 7,
        ("files", "full"): 30,
        ("configuration", "full"): 90,
    }
    assert {d.cadence for d in found.drills} == {"monthly", "quarterly", "biannual"}


def test_targets_of_a_store_follow_its_tier_and_data_class(document):
    found = policy.parse(document)
    assert (found.rto("db"), found.rpo("db")) == (HOUR, 300.0)


def test_services_come_in_the_order_of_their_dependencies(document):
    assert policy.parse(document).service_order() == (("api",), ("gateway",))


def test_the_hash_changes_with_any_value(document):
    changed = copy.deepcopy(document)
    changed["objectives"]["rpo"]["database"] = "6m"
    assert policy.parse(document).hash != policy.parse(changed).hash


def test_every_problem_is_reported_at_once_with_its_path(document):
    document["objectives"]["rto"]["critical"] = "soon"
    document["stores"]["db"]["tier"] = "vital"
    document["backups"][0] |= {"store": "other", "schedule": "61 * * * *"}
    document["surprise"] = True
    found = "\n".join(problems(document))
    for path in ("objectives.rto.critical", "stores.db.tier", "backups[0].store", "backups[0].schedule", "'surprise'"):
        assert path in found


@pytest.mark.parametrize("missing", ["name", "objectives", "stores", "backups", "drills", "services"])
def test_a_missing_section_is_named(document, missing):
    del document[missing]
    assert any(missing in problem and "missing" in problem for problem in problems(document))


def test_services_in_a_circle_are_refused(document):
    document["services"][0]["depends_on"] = ["gateway"]
    assert any("circle: api -> gateway -> api" in problem for problem in problems(document))


def test_a_dependency_on_nothing_is_refused(document):
    document["services"][0]["depends_on"] = ["ghost"]
    assert any("'ghost'" in problem for problem in problems(document))


@pytest.mark.parametrize("document", [None, [], "text", 7, {}])
def test_what_is_no_policy_is_refused(document):
    assert problems(document)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("5m", 300), ("1.5h", 5400), ("30 d", 30 * 86400)])
def test_durations(text, seconds):
    assert policy.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "0s", "5 weeks", "1h30m", None, 60])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="duration"):
        policy.duration(text)


@pytest.mark.parametrize("schedule", ["* * * * *", "*/5 0-23/2 1,15 1-12 0", "continuous", "59 23 31 12 7"])
def test_schedules(document, schedule):
    document["backups"][0]["schedule"] = schedule
    assert policy.parse(document).backups[0].schedule == schedule


@pytest.mark.parametrize("schedule", ["", "* * * *", "60 * * * *", "5-1 * * * *", "a * * * *", "*/0 * * * *", "* * 0 * *"])
def test_what_is_no_schedule_is_refused(document, schedule):
    document["backups"][0]["schedule"] = schedule
    assert any("schedule" in problem for problem in problems(document))


def test_no_random_damage_gets_through_as_anything_but_a_policy_error(document):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    generator = random.Random(seed)
    for _ in range(300):
        damaged = copy.deepcopy(document)
        _damage(damaged, generator)
        try:
            policy.parse(damaged)
        except errors.PolicyError as error:
            assert error.problems


def _damage(node, generator):
    """Replace one value somewhere by nonsense."""
    while True:
        key = generator.choice(list(node) if isinstance(node, dict) else list(range(len(node))))
        below = node[key]
        if isinstance(below, dict | list) and below and generator.random() < 0.7:
            node = below
            continue
        node[key] = generator.choice([None, 0, -1, "", "x", [], {}, [None], {"a": 1}, True, 1.5])
        return
