"""A drill kills a restore in the middle only when it was at work and is not finished; else it proves nothing, and says so."""

import random
from types import SimpleNamespace

import pytest
import real_servers

from drplatform.engine import backups, killed_restore, phrases
from drplatform.environment import apart as aparts
from drplatform.environment import fault, load_policy
from drplatform.model import drill, errors, timeline
from drplatform.model.backup import BackupKind
from drplatform.repositories import directory
from drplatform.stores import redis

CLOCK = real_servers.CLOCK
RECIPIENT, IDENTITY = backups.generate()


@pytest.fixture
def place(redis_endpoint_pair, tmp_path):
    """A vault with a snapshot, and the endpoint to restore into."""
    vault = tmp_path / "vault"
    source = redis.connect(redis_endpoint_pair[0], CLOCK)
    source.seed(3, 400)
    backups.back_up(source, BackupKind.SNAPSHOT, directory.open(vault, CLOCK), [RECIPIENT], CLOCK, random.Random())
    return vault, redis_endpoint_pair[1]


def kit_that(apart):
    return SimpleNamespace(apart=apart, connect=lambda endpoint: redis.connect(endpoint, CLOCK), clock=CLOCK)


def test_a_restore_is_killed_in_the_middle_and_its_secrets_are_nowhere(place, tmp_path):
    vault, target = place
    began = []

    def apart(endpoint):
        began.append(aparts.RestoreApart(endpoint, vault, [IDENTITY], tmp_path / f"apart-{len(began)}"))
        return began[-1]

    events = []
    told = timeline.Timeline(CLOCK, events.append)
    killed_restore.kill_one(kit_that(apart), "redis", target, told)
    assert not began[0].running()
    assert "restore.killed" in [event.name for event in events]
    assert redis.connect(target, CLOCK).unfinished()
    written = b"".join(path.read_bytes() for path in (tmp_path / "apart-0").rglob("*") if path.is_file())
    assert IDENTITY.reveal().encode() not in written and b"stores" in written


def test_a_restore_that_is_over_before_proves_nothing(place, tmp_path):
    """The planted defect: the process restores nothing, and ends."""
    _, target = place

    class Nothing:
        def running(self):
            return False

        def kill(self):
            pass

        def said(self):
            return "nothing to do"

    with pytest.raises(errors.Inconclusive, match="nothing to do"):
        killed_restore.kill_one(kit_that(lambda endpoint: Nothing()), "redis", target, timeline.Timeline(CLOCK))


def test_only_the_latest_backup_can_be_killed_and_begun_again_and_only_where_restores_are_resumed():
    sentence = "recovery from backups is killed half-way, begun again, and brings back Redis as it was just before the disaster"
    text = f"""Feature: f
  Scenario: s
    Given clients write to Redis
    And Redis has a snapshot backup
    And the log of Redis is captured continuously
    When the fault server-killed happens with stores: [redis]
    And {sentence}
    Then every acknowledged write is accounted for
"""
    (scenario,) = phrases.read_feature(text, "f.feature", fault)
    with pytest.raises(errors.PlanError) as refused:
        drill.plan(scenario, load_policy(None), 1, frozenset())
    assert any("as of the latest backup only" in problem for problem in refused.value.problems)
    assert any("resumable:redis" in problem for problem in refused.value.problems)
