"""A restore into buckets notes itself there: one that was cut off is named and begun anew, and a second one beside it is refused."""

import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import real_servers
from files_cases import bring_back, take

from drplatform.model import errors
from drplatform.model.backup import BackupKind
from drplatform.model.ports import ObjectChoice
from drplatform.stores import files
from drplatform.stores.files import lease, listing

FORBIDDEN = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
PLAN, OTHER = "20261130T1200 to the end of the log", "another to the end of the log"


@pytest.fixture
def pair(s3_endpoint_pair, clock, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.2)
    monkeypatch.setattr(lease, "STILL_SECONDS", 1.0)
    with contextlib.ExitStack() as stack:
        stores = [stack.enter_context(contextlib.closing(files.connect(endpoint, clock))) for endpoint in s3_endpoint_pair]
        for store in stores:
            store.identity()
        yield stores


@pytest.fixture
def backup(pair, s3_endpoint_pair):
    """With older versions, and a bucket that is set up in more than one way."""
    source = real_servers.s3_client(s3_endpoint_pair[0])
    source.put_bucket_versioning(Bucket="uploads", VersioningConfiguration={"Status": "Enabled"})
    source.put_bucket_tagging(Bucket="uploads", Tagging={"TagSet": [{"Key": "team", "Value": "docs"}]})
    pair[0].seed(7, 30)
    for number in range(3):
        source.put_object(Bucket="uploads", Key="often", Body=b"%d" % number)
    return take(pair[0])


@pytest.fixture
def s3(s3_endpoint_pair):
    return real_servers.s3_client(s3_endpoint_pair[1])


class CutOffError(Exception):
    pass


def cut_off(store, backup, after: int, plan=PLAN) -> None:
    """So many parts arrive, then the process is gone: nothing of it beats, and nothing was cleaned up."""
    with contextlib.suppress(CutOffError), store.resume(plan, False) as restore:
        for _, name, blocks in sorted(backup.parts)[:after]:
            restore.load(BackupKind.FULL, name, iter(blocks))
        raise CutOffError


def begun_anew(store, backup, plan=PLAN):
    with store.resume(plan, True) as restore:
        for _, name, blocks in sorted(backup.parts):
            assert restore.done(name) == 0
            restore.load(BackupKind.FULL, name, iter(blocks))
        restore.loaded()
        return restore.finish()


def private(s3):
    """What is ours in the buckets, in all versions."""
    pages = [s3.list_object_versions(Bucket=bucket) for bucket in ("uploads", "pdfs")]
    return {item["Key"] for page in pages for item in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))} & {listing.RESTORING}


@pytest.mark.parametrize("after", [0, 2, 4, 7])
def test_wherever_it_was_cut_off_it_is_named_and_begun_anew(pair, backup, s3, after):
    source, target = pair
    assert len(backup.parts) == 7, "before the first, among them, and after the last one"
    cut_off(target, backup, after)
    assert target.unfinished() == PLAN
    with pytest.raises(errors.TargetRefused, match=r"unfinished restore \(2026.*--resume.*Nothing was touched"), target.resume(PLAN, False):
        pass
    with pytest.raises(errors.TargetRefused, match="something else"), target.resume(OTHER, True):
        pass
    end = begun_anew(target, backup)
    assert end.refused == () and end.left == ()
    assert end.digests == backup.end.digests == source.digest() == target.digest()
    assert target.unfinished() == "" and private(s3) == set(), "nothing is left of the note, in no version"
    assert [v["Key"] for v in s3.list_object_versions(Bucket="uploads", Prefix="often")["Versions"]] == ["often"] * 3


def test_nothing_is_noted_when_all_went_well(pair, backup, s3):
    assert bring_back(pair[1], backup).refused == ()
    assert pair[1].unfinished() == "" and private(s3) == set()


def test_a_second_restore_is_refused_while_one_is_at_work(pair, backup):
    source, target = pair
    parts = sorted(backup.parts)
    with target.resume(PLAN, False) as restore:
        for _, name, blocks in parts[:3]:
            restore.load(BackupKind.FULL, name, iter(blocks))
        for again in (False, True):
            with pytest.raises(errors.TargetRefused, match="at work"), target.resume(PLAN, again):
                pass
        with pytest.raises(errors.TargetRefused, match="at work"):
            target.reconcile([[(name, blocks) for _, name, blocks in backup.parts]], ObjectChoice())
        for _, name, blocks in parts[3:]:
            restore.load(BackupKind.FULL, name, iter(blocks))
        restore.loaded()
        restore.finish()
    assert target.digest() == source.digest()


def test_of_several_that_begin_at_once_one_wins(pair, s3_endpoint_pair, clock):
    begin, held = threading.Barrier(5), threading.Barrier(5)

    def attempt(number):
        client = real_servers.s3_client(s3_endpoint_pair[1])
        begin.wait(30)
        try:
            with lease.held(client, "uploads", clock, f"plan {number}", False):
                held.wait(30)
                return "held"
        except errors.TargetRefused as refused:
            held.wait(30)
            return str(refused)

    with ThreadPoolExecutor(5) as pool:
        told = list(pool.map(attempt, range(5)))
    assert told.count("held") == 1
    assert all("at work" in words for words in told if words != "held")
    lease.forget(real_servers.s3_client(s3_endpoint_pair[1]), "uploads")


def test_one_that_stood_still_while_another_took_over_ends(pair, backup, clock):
    target, parts = pair[1], sorted(backup.parts)
    with pytest.raises(errors.RecoveryFailed, match="taken over"), target.resume(PLAN, False) as slept:
        slept._lease.rest()  # it hangs
        slept.load(BackupKind.FULL, parts[0][1], iter(parts[0][2]))
        begun_anew(target, backup)
        slept._lease._renew()  # and wakes up
        slept.load(BackupKind.FULL, parts[1][1], iter(parts[1][2]))
    assert target.digest() == pair[0].digest() and target.unfinished() == ""


def test_one_that_does_not_know_yet_that_another_took_over_leaves_the_note_to_it(pair, backup):
    target, parts = pair[1], sorted(backup.parts)
    with pytest.raises(errors.RecoveryFailed, match="taken over"), target.resume(PLAN, False) as slept:
        for _, name, blocks in parts:
            slept.load(BackupKind.FULL, name, iter(blocks))
        slept.loaded()
        slept._lease.rest()
        with target.resume(PLAN, True):
            for _, name, blocks in parts:
                slept.load(BackupKind.FULL, name, iter(blocks))  # so that the end finds what it expects
            try:
                slept.finish()
            finally:
                assert target.unfinished() == PLAN


def test_what_was_cut_off_is_finished_beside_too_but_only_as_a_whole(pair, backup, s3):
    source, target = pair
    named = [(name, blocks) for _, name, blocks in backup.parts]
    cut_off(target, backup, 4)
    target.reconcile([named], ObjectChoice(prefix="of"))
    assert target.unfinished() == PLAN
    found = target.reconcile([named], ObjectChoice(configuration=True))
    assert found.refused == () and target.unfinished() == "" and private(s3) == set()
    assert target.digest()["pdfs"] == source.digest()["pdfs"]


def test_what_is_begun_anew_must_be_nobodys(pair, backup, s3, clock):
    """Somebody took the half of it into use."""
    cut_off(pair[1], backup, 7)
    held = {o["Key"] for o in s3.list_objects_v2(Bucket="pdfs")["Contents"]}
    stop = threading.Event()

    def work():
        number = 0
        while not stop.wait(0.1):
            s3.put_object(Bucket="pdfs", Key="job", Body=b"%d" % (number := number + 1))

    somebody = threading.Thread(target=work)
    somebody.start()
    try:
        with pytest.raises(errors.TargetRefused, match="in use"):
            begun_anew(pair[1], backup)
    finally:
        stop.set()
        somebody.join()
    assert {o["Key"] for o in s3.list_objects_v2(Bucket="pdfs")["Contents"]} >= held | {"job"}
    assert pair[1].unfinished() == PLAN


@pytest.mark.parametrize("text", [b"", b"not a note", b"[]", json.dumps({"plan": "p"}).encode(), b"\xff"])
def test_whatever_stands_there_is_a_note(pair, s3, text):
    s3.put_object(Bucket="uploads", Key=listing.RESTORING, Body=text)
    assert "does not say which" in pair[1].unfinished()
    with pytest.raises(errors.TargetRefused, match=r"deleting uploads/\.drplatform/restoring"), pair[1].resume(PLAN, True):
        pass


def test_a_server_without_conditions_on_what_is_there_holds_a_lease_too(s3, pair, clock, monkeypatch):
    """The lease is beaten, seen to be alive, lost to another, and given back."""
    put = s3.put_object

    def unknown(**asked):
        if "IfMatch" in asked:
            answer = {"Error": {"Code": "NotImplemented"}, "ResponseMetadata": {"HTTPStatusCode": 501}}
            raise lease.access.ClientError(answer, "PutObject")
        return put(**asked)

    monkeypatch.setattr(s3, "put_object", unknown)
    with lease.held(s3, "uploads", clock, PLAN, False) as first:
        with pytest.raises(errors.TargetRefused, match="at work"):
            lease.left(s3, "uploads", clock)
        first.rest()
        with lease.held(s3, "uploads", clock, PLAN, True) as second:
            with pytest.raises(errors.RecoveryFailed, match="taken over"):
                first.release()
            assert second.found and lease.unfinished(s3, "uploads") == PLAN
            assert second.release() == "" == lease.unfinished(s3, "uploads")


def test_versions_of_the_note_that_may_not_be_deleted_stay(pair, backup, s3, monkeypatch):
    """A lock of the bucket holds them; a deletion without a version is possible all the same."""
    plain = lease.arrival.delete_one

    def locked(s3, bucket, key, **version):
        if version:
            raise errors.StoreError("Could not delete it: AccessDenied") from lease.access.ClientError(FORBIDDEN, "DeleteObject")
        return plain(s3, bucket, key)

    cut_off(pair[1], backup, 3)
    monkeypatch.setattr(lease.arrival, "delete_one", locked)
    assert lease.forget(s3, "uploads") == "" and pair[1].unfinished() == ""
    assert private(s3) == {listing.RESTORING}


def test_an_account_that_may_not_read_the_note_may_back_up(pair, backup, monkeypatch):
    cut_off(pair[1], backup, 3)
    assert pair[1].halfway() == PLAN

    def forbidden(*_):
        raise errors.StoreError("Could not read it: AccessDenied") from lease.access.ClientError(FORBIDDEN, "GetObject")

    monkeypatch.setattr(lease, "_read", forbidden)
    assert pair[1].halfway() == ""


def test_a_note_that_may_not_be_deleted_is_named(pair, backup, s3, monkeypatch):

    def forbidden(*_, **__):
        raise errors.StoreError("Could not delete it: AccessDenied") from lease.access.ClientError(FORBIDDEN, "DeleteObject")

    with pair[1].restore() as restore:
        for _, name, blocks in sorted(backup.parts):
            restore.load(BackupKind.FULL, name, iter(blocks))
        restore.loaded()
        monkeypatch.setattr(lease.arrival, "delete_one", forbidden)
        end = restore.finish()
    assert end.refused == ("uploads: .drplatform/restoring may not be deleted; the restore is finished all the same, delete it",)
    assert pair[1].digest() == pair[0].digest()
