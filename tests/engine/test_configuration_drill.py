"""Drills of the configuration and of hurt backups: what passes, and what must not."""

import dataclasses

import pytest

from drplatform import environment
from drplatform.model import drill, ports
from drplatform.model.backup import BackupKind
from drplatform.model.verdict import Verdict


@pytest.fixture
def kit(memory_kit, clock, tmp_path):
    """The memory platform with a real directory of configuration."""
    directory = tmp_path / "configuration"
    directory.mkdir()

    def connect(endpoint):
        return environment.connect(endpoint, clock) if endpoint.kind == "configuration" else memory_kit.connect(endpoint)

    store = connect(ports.Endpoint("configuration", options={"directory": str(directory)}))
    return dataclasses.replace(memory_kit, connect=connect, stores={**memory_kit.stores, "configuration": store})


BEFORE = (
    drill.Steady(),
    drill.Seed(("configuration",)),
    drill.Write(("redis",)),
    drill.BackUp("configuration", BackupKind.FULL),
)
FAULT = drill.Inflict("configuration-wrong", {})
EXPECT = tuple(drill.Expect(judgement) for judgement in ("reference", "backups", "rto", "rpo"))


def by_name(evidence):
    return {(m["name"], m["subject"]): m["verdict"] for m in evidence.measurements} | {c["name"]: c["verdict"] for c in evidence.checks}


def test_a_wrong_configuration_comes_back_and_is_measured(kit, run_drill):
    evidence, _ = run_drill(kit, (*BEFORE, FAULT, drill.RestoreConfiguration(), *EXPECT))
    assert evidence.verdict is Verdict.PASSED, (evidence.summary, evidence.doubts)
    found = by_name(evidence)
    assert found["rto", "configuration"] == found["rpo", "configuration"] == "PASSED"
    assert found["configuration has its reference data unchanged"] == "PASSED"
    assert found["the backups that configuration was recovered from are whole"] == "PASSED"
    assert [b["store"] for b in evidence.backups] == ["configuration"]
    assert evidence.faults[0]["affects"] == ["configuration"]
    assert all(check["control"] == "caught" for check in evidence.checks)


def test_what_was_changed_after_the_backup_is_seen_to_be_gone(kit, run_drill, tmp_path):
    def change(running, activity):
        if isinstance(activity, drill.Seed):
            running.record.reference["configuration"] = {**running.record.reference["configuration"]}
        if isinstance(activity, drill.BackUp):
            (tmp_path / "configuration" / "environment" / "late.env").write_text("LATE=1\n")
            running.record.reference["configuration"] = running.kit.stores["configuration"].digest()

    evidence, _ = run_drill(kit, (*BEFORE, FAULT, drill.RestoreConfiguration(), *EXPECT), change)
    assert evidence.verdict is Verdict.FAILED
    assert by_name(evidence)["configuration has its reference data unchanged"] == "FAILED"


def test_without_a_restore_nothing_is_proven(kit, run_drill):
    evidence, _ = run_drill(kit, (*BEFORE, FAULT, *EXPECT))
    assert evidence.verdict is not Verdict.PASSED


# -- hurt backups -----------------------------------------------------------------------------------------------------------------

HURT = (
    drill.Steady(),
    drill.Seed(("redis",)),
    drill.Write(("redis",)),
    drill.BackUp("redis", BackupKind.SNAPSHOT),
    drill.GoOnWriting(10),
)
LOST = drill.Inflict("servers-lost", {"stores": ("redis",)})
RECOVER = (LOST, drill.Recover({"redis": drill.LATEST}), *(drill.Expect(j) for j in ("backups", "reference", "accounted", "rto", "rpo")))


@pytest.mark.parametrize("fault", ["backup-bit-flipped", "backup-deleted"])
def test_hurt_backups_are_found_and_the_recovery_goes_through_when_they_are_whole_again(memory_kit, run_drill, fault):
    hurt = drill.Inflict(fault, {"store": "redis"})
    evidence, _ = run_drill(memory_kit, (*HURT, hurt, drill.FindDamage("redis"), drill.Heal(), *RECOVER))
    assert evidence.verdict is Verdict.PASSED, (evidence.summary, evidence.doubts)
    (found,) = [e["detail"]["found"] for e in evidence.timeline if e["name"] == "damage.found"]
    assert found


def test_damage_that_is_not_there_is_not_found(memory_kit, run_drill):
    """The planted defect of the step above: backups that are whole are not called hurt, and the drill fails that says so."""
    evidence, _ = run_drill(
        memory_kit, (*HURT, LOST, drill.FindDamage("redis"), drill.Recover({"redis": drill.LATEST}), drill.Expect("rto"))
    )
    assert evidence.verdict is Verdict.FAILED and "nothing that a recovery looks at has found it" in evidence.summary
