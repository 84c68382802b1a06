"""The judgement on access, at a real S3 server: what an identity may do too much or too little is named, and nothing is left behind."""

import dataclasses

import pytest

from drplatform import environment
from drplatform.engine import access_checks, backups
from drplatform.environment import edges
from drplatform.model import access, drill, errors
from drplatform.model.access import Role
from drplatform.model.backup import BackupKind
from drplatform.model.verdict import Verdict
from drplatform.repositories import _identities as identities

PLAN = drill.Scenario("F", "S", (), (drill.Expect("access"),))


@pytest.fixture
def kit(memory_kit, s3_endpoint, clock):
    """A drill whose vault is a bucket that holds one backup."""
    vault = dataclasses.replace(s3_endpoint, options={**s3_endpoint.options, "bucket": "uploads"})
    place = environment.repository(vault, clock)
    memory_kit.stores["mongodb"].seed(1, 5)
    backups.back_up(memory_kit.stores["mongodb"], BackupKind.FULL, place, memory_kit.keys.recipients, clock, memory_kit.random)
    return dataclasses.replace(memory_kit, repository=place, identity=lambda document: edges.identity(vault, document, clock))


def judged(kit):
    return access_checks.parts(drill.Plan(PLAN, kit.policy, 1), kit)["access"][0]


def test_the_identities_of_least_privilege_pass_with_the_defect_caught_and_nothing_is_left(kit, s3_endpoint):
    before = {info.key for info in kit.repository.list("")}
    found = judged(kit)
    assert (found.judged, found.control) == (Verdict.PASSED, True), found.finding
    assert {info.key for info in kit.repository.list("")} == before
    assert [u for u in _users(s3_endpoint) if u.startswith("drplatform-")] == []


@pytest.mark.parametrize(
    ("role", "given", "told"),
    [
        (Role.AUDITOR, Role.WRITER, "the auditor may store"),
        (Role.READER, Role.PRUNER, "the reader may delete backups; the reader may not read data"),
        (
            Role.WRITER,
            None,
            "the writer may delete backups; the writer may delete evidence; the writer may delete holds; the writer may read data",
        ),
    ],
)
def test_an_identity_that_may_do_something_else_is_named(kit, monkeypatch, role, given, told):
    everything = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::uploads", "arn:aws:s3:::uploads/*"]}],
    }
    document = (lambda bucket: everything) if given is None else (lambda bucket: access.policy(given, bucket))
    own = access_checks._of
    monkeypatch.setattr(access_checks, "_of", lambda of: document if of is role else own(of))
    found = judged(kit)
    assert (found.verdict, found.finding) == (Verdict.FAILED, told)


def test_a_vault_without_identities_or_backups_proves_nothing(kit, memory_kit):
    assert judged(dataclasses.replace(kit, identity=None)).judged is Verdict.INCONCLUSIVE
    for info in list(kit.repository.list("")):
        kit.repository.delete(info.key)
    assert judged(kit).judged is Verdict.INCONCLUSIVE


def test_a_server_that_makes_no_identities_proves_nothing(kit):
    def refused(document):
        raise errors.StoreError("The S3 server makes no identities.")

    found = judged(dataclasses.replace(kit, identity=refused))
    assert found.judged is Verdict.INCONCLUSIVE and "makes no identities" in found.finding


def _users(endpoint):

    return [u["UserName"] for u in identities._iam(endpoint).list_users()["Users"]]
