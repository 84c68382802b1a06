"""Buckets that are empty and in use are refused before the first byte; those that only look so are not."""

import contextlib
import threading

import pytest
import real_servers
from files_cases import bring_back, take

from drplatform.model import errors
from drplatform.stores import files
from drplatform.stores.files import target


class Meddling:
    """A clock on which somebody does one thing after the other each time it is waited on."""

    def __init__(self, clock, *things) -> None:
        self._clock, self._things = clock, list(things)
        self.monotonic, self.utc = clock.monotonic, clock.utc

    def wait(self, event, seconds):
        if self._things:
            self._things.pop(0)()
        return self._clock.wait(event, seconds)


@pytest.fixture
def backup(s3_endpoint, clock):
    with contextlib.closing(files.connect(s3_endpoint, clock)) as source:
        source.seed(7, 12)
        return take(source)


@pytest.fixture
def s3(s3_endpoint_pair, clock):
    """The target's client; its buckets are there."""
    with contextlib.closing(files.connect(s3_endpoint_pair[1], clock)) as store:
        store.identity()
    return real_servers.s3_client(s3_endpoint_pair[1])


def holds(s3):
    """All names, versions, and how the buckets are set up."""
    return {
        bucket: (
            [o["Key"] for o in s3.list_objects_v2(Bucket=bucket).get("Contents", ())],
            [o["VersionId"] for o in s3.list_object_versions(Bucket=bucket).get("Versions", ())],
            s3.get_bucket_versioning(Bucket=bucket).get("Status"),
        )
        for bucket in ("uploads", "pdfs")
    }


def restored(endpoint, clock, backup):
    with contextlib.closing(files.connect(endpoint, clock)) as store:
        return bring_back(store, backup)


def put(s3, key, bucket="pdfs"):
    return lambda: s3.put_object(Bucket=bucket, Key=key, Body=b"somebody's")


def taken(s3, key, bucket="pdfs"):
    return lambda: s3.delete_object(Bucket=bucket, Key=key)


def nothing():
    return None


def test_an_object_that_comes_and_goes(s3_endpoint_pair, s3, backup, clock):
    before = holds(s3)
    with pytest.raises(errors.TargetRefused, match=r"in use: .* the content of pdfs/job 1 came or went; .* Nothing was touched"):
        restored(s3_endpoint_pair[1], Meddling(clock, nothing, put(s3, "job 1"), taken(s3, "job 1")), backup)
    taken(s3, "job 1")()
    assert holds(s3) == before


def test_an_object_that_only_goes(s3_endpoint_pair, s3, backup, clock):
    """The engine has seen it gone, or was told to go on: one that is fetched is somebody's."""
    put(s3, "job 2", "uploads")()
    with pytest.raises(errors.TargetRefused, match="uploads/job 2"):
        restored(s3_endpoint_pair[1], Meddling(clock, nothing, taken(s3, "job 2", "uploads")), backup)


def test_one_that_came_and_went_between_two_looks_leaves_a_version(s3_endpoint_pair, s3, backup, clock):
    s3.put_bucket_versioning(Bucket="pdfs", VersioningConfiguration={"Status": "Enabled"})

    def both():
        put(s3, "job 3")()
        taken(s3, "job 3")()

    with pytest.raises(errors.TargetRefused, match=r"a version of pdfs/job 3"):
        restored(s3_endpoint_pair[1], Meddling(clock, both), backup)


def test_a_large_object_on_its_way(s3_endpoint_pair, s3, backup, clock):
    begun = []

    def begin():
        begun.append(s3.create_multipart_upload(Bucket="pdfs", Key="film"))

    with pytest.raises(errors.TargetRefused, match=r"an upload of pdfs/film"):
        restored(s3_endpoint_pair[1], Meddling(clock, begin), backup)
    s3.abort_multipart_upload(Bucket="pdfs", Key="film", UploadId=begun[0]["UploadId"])


def test_a_queue_that_is_served_at_once(s3_endpoint_pair, s3, backup, clock):
    """Nothing planted in the clock: somebody works as people do, and between the looks as well."""
    stop = threading.Event()

    def work():
        number = 0
        while not stop.is_set():
            put(s3, f"job {number}")()
            stop.wait(0.1)
            taken(s3, f"job {number}")()
            number += 1

    worker = threading.Thread(target=work)
    worker.start()
    try:
        with pytest.raises(errors.TargetRefused, match=r"in use: .* pdfs/job"):
            restored(s3_endpoint_pair[1], clock, backup)
    finally:
        stop.set()
        worker.join()


def test_what_lies_there_and_what_is_ours_is_no_use(s3_endpoint_pair, s3, backup, clock):
    """An upload that somebody once gave up, and the probes by which a drill sees when the target serves."""
    lying = s3.create_multipart_upload(Bucket="pdfs", Key="given up")
    probe = put(s3, files.listing.PROBE, "uploads")
    assert restored(s3_endpoint_pair[1], Meddling(clock, probe, probe, taken(s3, files.listing.PROBE, "uploads")), backup).refused == ()
    s3.abort_multipart_upload(Bucket="pdfs", Key="given up", UploadId=lying["UploadId"])


def test_a_server_that_shows_no_uploads_is_watched_all_the_same(s3_endpoint_pair, s3, clock, monkeypatch):
    answer = {"Error": {"Code": "NotImplemented"}, "ResponseMetadata": {"HTTPStatusCode": 501}}

    def unknown(**_):
        raise target.access.ClientError(answer, "ListMultipartUploads")

    monkeypatch.setattr(s3, "list_multipart_uploads", unknown)
    target.refuse_live(s3, ("uploads", "pdfs"), clock)
    with pytest.raises(errors.TargetRefused, match="pdfs/job 4"):
        target.refuse_live(s3, ("uploads", "pdfs"), Meddling(clock, put(s3, "job 4")))
    taken(s3, "job 4")()
