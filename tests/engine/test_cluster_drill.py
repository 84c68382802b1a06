"""The drill of a cluster: where there is none, the plan says so before anything is touched; and what would prove nothing is refused."""

import dataclasses
from pathlib import Path

import pytest

from drplatform import environment
from drplatform.engine import phrases
from drplatform.environment import clusters
from drplatform.model import drill, errors

FEATURE = Path(__file__).parents[2] / "features/quarterly/cluster_recovery.feature"
OFFERED = frozenset({"store:redis", "fault:namespace-deleted", "repository"})
CLUSTER = frozenset({"store:kubernetes", "namespaced:kubernetes", "copied:kubernetes"})
POLICY = environment.load_policy(None)


@pytest.fixture(scope="module")
def scenario():
    (found,) = environment.read_feature(FEATURE)
    return found


def test_without_a_cluster_every_sentence_that_needs_one_is_named(scenario):
    with pytest.raises(errors.PlanError) as caught:
        drill.plan(scenario, POLICY, 1, OFFERED)
    named = [p for p in caught.value.problems if "kubernetes" in p and "does not offer" in p]
    assert len(named) == 4 == len(caught.value.problems)
    assert drill.plan(scenario, POLICY, 1, OFFERED | CLUSTER).scenario is scenario


def test_a_cluster_that_was_not_backed_up_or_not_hurt_proves_nothing(scenario):
    for left_out in (drill.BackUp, drill.Inflict):
        fewer = tuple(a for a in scenario.activities if not isinstance(a, left_out))
        with pytest.raises(errors.PlanError, match="no backup was taken, or to which nothing has happened"):
            drill.plan(dataclasses.replace(scenario, activities=fewer), POLICY, 1, OFFERED | CLUSTER)


def test_a_policy_without_any_target_for_it_is_refused(scenario):
    stores = {name: store for name, store in POLICY.stores.items() if name != "configuration"}
    with pytest.raises(errors.PlanError, match="has no target"):
        drill.plan(scenario, dataclasses.replace(POLICY, stores=stores), 1, OFFERED | CLUSTER)


def test_clients_still_have_to_write_to_every_other_store_that_is_hurt(scenario):
    hurt = dataclasses.replace(phrases.activity("a collection of MongoDB is dropped by mistake"), affects=frozenset({"mongodb"}))
    with pytest.raises(errors.PlanError, match="no client writes to it before"):
        drill.plan(dataclasses.replace(scenario, activities=(*scenario.activities, hurt)), POLICY, 1, OFFERED | CLUSTER)


def test_only_what_dead_platforms_of_this_machine_have_made_is_swept(tmp_path):
    lives, died = tmp_path / "lives", tmp_path / "died"
    lives.mkdir()
    assert clusters.is_gone(clusters.owner(died), tmp_path)
    assert not clusters.is_gone(clusters.owner(lives), tmp_path)
    assert not clusters.is_gone(clusters.owner(died), tmp_path / "elsewhere")
    assert not clusters.is_gone(f"another-machine:{died}", tmp_path)
