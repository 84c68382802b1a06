"""Drills through pytest: our sentences in anybody's feature files, and a test that passes only where its drill did."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import drplatform
from drplatform.environment import SystemClock
from drplatform.model.clock import wait_for

ROOT = Path(drplatform.__file__).parents[1]

REDIS = """
@monthly @redis @nist_cp_10
Feature: Redis recovery
  Scenario: Redis is lost
    Given the platform runs in two regions
    And Redis holds reference data
    And clients write to Redis
    And Redis has a snapshot backup
    And clients have written 20 more times to each store
    When the Redis server of the primary region is killed and its disk is lost
    {recovery}
    Then every acknowledged write is accounted for
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective
"""
RECOVERY = "And recovery from backups brings back Redis as of its latest backup"


@pytest.fixture
def begun(tmp_path):
    """Begins to run pytest on features of its own."""
    (tmp_path / "test_features.py").write_text("from pytest_bdd import scenarios\nscenarios('.')\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    monthly\n    redis\n    nist_cp_10\n")

    def begin(feature, *arguments):
        (tmp_path / "redis.feature").write_text(feature)
        variables = {"DRPLATFORM_STATE": tmp_path / "state", "DRPLATFORM_SCRATCH": tmp_path, "DRPLATFORM_REPORTS": tmp_path / "reports"}
        environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path), *arguments]
        return subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    return begin


@pytest.fixture
def drills(begun):
    """Runs pytest on features of its own: its exit code, and what it said."""

    def run(feature, *arguments):
        with begun(feature, *arguments) as pytest_run:
            said, _ = pytest_run.communicate(timeout=280)
        return pytest_run.returncode, said

    return run


def test_a_drill_that_passed_passes_and_leaves_evidence_in_allure(drills, tmp_path):
    code, told = drills(REDIS.format(recovery=RECOVERY), "--alluredir", str(tmp_path / "allure"), "--seed", "7", "-m", "monthly")
    assert code == 0, told
    assert "PASSED  All 2 targets were met" in told
    (result,) = [json.loads(p.read_text()) for p in (tmp_path / "allure").glob("*-result.json")]
    assert result["status"] == "passed"
    assert [step["name"] for step in result["steps"]][:2] == ["Given the platform runs in two regions", "And Redis holds reference data"]
    recovery = next(step for step in result["steps"] if "recovery from backups" in step["name"])
    assert any("Restore redis" in inner["name"] for inner in recovery["steps"]), "the recovery's steps are nested"
    attached = {a["name"]: a["source"] for a in result["attachments"]}
    assert any(source.endswith(".html") for source in attached.values()) and any(s.endswith(".json") for s in attached.values())
    labels = {(label["name"], label["value"]) for label in result["labels"]}
    assert ("feature", "Redis recovery") in labels and ("epic", "Monthly drills") in labels
    assert [link["name"] for link in result["links"]] == ["NIST CP-10"], "controls are links"
    assert list((tmp_path / "reports").glob("*/*.dsse.json"))


def test_a_target_that_is_missed_fails_the_test(drills, tmp_path):
    policy = (ROOT / "drplatform/policy.yaml").read_text().replace("critical: 1h", "critical: 0.001s", 1)
    (tmp_path / "tight.yaml").write_text(policy)
    code, told = drills(REDIS.format(recovery=RECOVERY), "--policy", str(tmp_path / "tight.yaml"))
    assert code == 1, told
    assert "FAILED" in told and "rto of redis" in told


def test_a_drill_without_a_recovery_never_passes(drills):
    code, told = drills(REDIS.format(recovery=""))
    assert code == 1, told
    assert "1 failed" in told or "1 error" in told


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("And Redis is restored by magic", "Step definition is not found"),
        ("And recovery from backups brings back Postgres as of its latest backup", "Postgres"),
        ("And recovery from backups brings back MongoDB as of its latest backup", "mongodb"),
    ],
)
def test_a_drill_that_cannot_run_says_why(drills, sentence, told):
    code, said = drills(REDIS.format(recovery=sentence))
    assert code == 1, said
    assert told in said
    assert "PASSED  All" not in said


def test_a_part_that_the_machine_lacks_is_told_in_a_sentence(drills):
    """Neither skipped nor passed: a drill that is due and could not run is no evidence."""
    needs = "And the cluster has a full backup\n    When the namespace of the cluster is deleted\n    " + RECOVERY
    code, said = drills(REDIS.format(recovery=needs))
    assert code == 1 and "It could not run, and proves nothing." in said and "Traceback" not in said and "site-packages" not in said, said


def test_the_shipped_features_are_all_understood():
    from drplatform import environment

    features = sorted((ROOT / "features").glob("*/*.feature"))
    assert len(features) >= 3
    scenarios = [scenario for feature in features for scenario in environment.read_feature(feature)]
    assert {s.cadence for s in scenarios} >= {"monthly", "quarterly"}
    policy = environment.load_policy(None)
    regular = [f for f in features if any(s.cadence != "on demand" for s in environment.read_feature(f))]
    names = {feature.stem.replace("_", "-") for feature in regular}
    assert names == {drill.name for drill in policy.drills}, "every drill with a cadence is in the calendar, and the other way round"


def test_a_polite_kill_in_the_middle_leaves_nothing_behind(begun, tmp_path):
    """As supervisors of jobs send it when time is up, to the process and then to its group."""
    journals = lambda: [*tmp_path.glob("drplatform-*/*/run/*")]  # noqa: E731
    with begun(REDIS.format(recovery=RECOVERY)) as pytest_run:
        wait_for(SystemClock(), "the drill to write", journals, within=120)
        assert _processes_below(tmp_path), "there are servers that could be left"
        for _ in range(3):
            pytest_run.send_signal(signal.SIGTERM)
        said, _ = pytest_run.communicate(timeout=120)
    assert pytest_run.returncode == pytest.ExitCode.INTERRUPTED, said
    assert not _processes_below(tmp_path) and not journals()


def _processes_below(directory):
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"{directory}/drplatform-".encode() in entry.read_bytes():
                found.append(entry.parent.name)
    return found
