"""The judgement on alerts: every cause is told and told to be over, and a watch that misses one is named."""

import dataclasses

import pytest

from drplatform.engine import alert_checks, backups
from drplatform.model import drill, monitoring
from drplatform.model.backup import BackupKind
from drplatform.model.verdict import Verdict

NAMES = [
    "BackupFailed", "BackupMissed", "BackupSizeAnomaly", "BackupDamaged", "RecoveryPointTooOld", "NoRecoveryPoint", "RecoveryObjectiveMissed",
]  # fmt: skip


@pytest.fixture
def kit(memory_kit):
    memory_kit.stores["mongodb"].seed(1, 5)
    backups.back_up(
        memory_kit.stores["mongodb"],
        BackupKind.FULL,
        memory_kit.repository,
        memory_kit.keys.recipients,
        memory_kit.clock,
        memory_kit.random,
    )
    return memory_kit


def judged(kit):
    return alert_checks.parts(drill.Plan(drill.Scenario("F", "S", (), (drill.Expect("alerts"),)), kit.policy, 1), kit)["alerts"][0]


def test_the_watch_of_the_agent_passes_with_the_defect_caught_and_nothing_is_touched(kit):
    before = {info.key: kit.repository.get(info.key) for info in kit.repository.list("")}
    found = judged(kit)
    assert (found.judged, found.control) == (Verdict.PASSED, True)
    assert all(name in found.finding for name in NAMES)
    assert {info.key: kit.repository.get(info.key) for info in kit.repository.list("")} == before


@pytest.mark.parametrize("name", NAMES)
def test_a_watch_that_misses_a_cause_is_named(kit, monkeypatch, name):
    whole = monitoring.alerts
    monkeypatch.setattr(monitoring, "alerts", lambda seen, policy: [a for a in whole(seen, policy) if a.name != name])
    found = judged(kit)
    assert found.verdict is Verdict.FAILED and found.finding == f"{name}: its cause raises nothing"


def test_a_watch_that_never_ends_an_alert_is_named(kit, monkeypatch):
    whole, raised = monitoring.alerts, {}

    def stubborn(seen, policy):
        raised.update({a.key: a for a in whole(seen, policy)})
        return list(raised.values())

    monkeypatch.setattr(monitoring, "alerts", stubborn)
    found = judged(kit)
    assert found.verdict is Verdict.FAILED and "BackupFailed: told as firing" in found.finding


def test_without_a_scheduled_backup_nothing_is_proved(kit):
    silent = dataclasses.replace(kit, policy=dataclasses.replace(kit.policy, backups=()))
    assert judged(silent).judged is Verdict.INCONCLUSIVE
    assert alert_checks.parts(drill.Plan(drill.Scenario("F", "S", (), ()), kit.policy, 1), kit) == {}
