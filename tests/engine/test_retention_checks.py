"""The judgement on retention: what prunes the vault is held against the policy, and a hasty pruning is caught."""

import dataclasses

from drplatform.engine import backups, retention_checks
from drplatform.model import drill
from drplatform.model.backup import BackupKind
from drplatform.model.verdict import Verdict


def judged(kit, policy):
    plan = drill.Plan(drill.Scenario("F", "S", (), (drill.Expect("retention"),)), policy, 1)
    return retention_checks.parts(plan, kit).get("retention", ())


def taken(kit, store, kind):
    kit.stores[store].seed(1, 5)
    backups.back_up(kit.stores[store], kind, kit.repository, kit.keys.recipients, kit.clock, kit.random)


def test_backups_that_are_kept_as_the_policy_says_pass_with_the_defect_caught(memory_kit):
    taken(memory_kit, "mongodb", BackupKind.FULL)
    taken(memory_kit, "redis", BackupKind.SNAPSHOT)
    found = {c.name.split()[0]: c for c in judged(memory_kit, memory_kit.policy)}
    assert {name: (c.judged, c.control) for name, c in found.items()} == {
        "mongodb": (Verdict.PASSED, True),
        "redis": (Verdict.PASSED, True),
    }
    assert "full for 30 d" in found["mongodb"].finding and "snapshot for 7 d" in found["redis"].finding


def test_what_the_policy_does_not_keep_proves_nothing(memory_kit):
    taken(memory_kit, "mongodb", BackupKind.FULL)
    silent = dataclasses.replace(memory_kit.policy, backups=())
    (found,) = judged(memory_kit, silent)
    assert found.judged is Verdict.INCONCLUSIVE


def test_a_hasty_pruning_is_named(memory_kit):
    taken(memory_kit, "mongodb", BackupKind.FULL)
    (manifest,) = backups.Catalogue(memory_kit.repository).read().manifests
    policy = memory_kit.policy
    assert "would go before 30 d are over" in retention_checks._wrong(manifest, manifest, policy, retention_checks._hasty(policy))
    longer = dataclasses.replace(policy, backups=tuple(dataclasses.replace(r, retention=r.retention * 2) for r in policy.backups))
    assert "would stay after 30 d" in retention_checks._wrong(manifest, manifest, policy, longer)
