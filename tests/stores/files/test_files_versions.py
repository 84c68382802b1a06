"""Older versions of objects go out and come back in their order, whole or told."""

import contextlib
import dataclasses
import random

import pytest
import real_servers
from files_cases import bring_back, take

from drplatform.model.backup import BackupKind
from drplatform.stores import files
from drplatform.stores.files import dump as dumps
from drplatform.stores.files import index, listing, versions


@pytest.fixture
def pair(s3_endpoint_pair, clock):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(files.connect(endpoint, clock))) for endpoint in s3_endpoint_pair]


def versioned(endpoint, status="Enabled"):
    s3 = real_servers.s3_client(endpoint)
    s3.put_bucket_versioning(Bucket="uploads", VersioningConfiguration={"Status": status})
    return s3


def filled(endpoint):
    """Versions from before, during and after; deleted, deleted and written again; names beside directories of the same name."""
    s3 = real_servers.s3_client(endpoint)
    s3.put_object(Bucket="uploads", Key="from before", Body=b"null")
    versioned(endpoint)
    for number in range(3):
        for key in ("dir/a", "dir", "ü x", "goes", "comes back"):
            s3.put_object(Bucket="uploads", Key=key, Body=f"{key} {number}".encode(), Metadata={"n": str(number)}, Tagging=f"n={number}")
    s3.put_object(Bucket="uploads", Key="from before", Body=b"later")
    s3.delete_object(Bucket="uploads", Key="goes")
    s3.delete_object(Bucket="uploads", Key="comes back")
    s3.put_object(Bucket="uploads", Key="comes back", Body=b"again")
    s3.delete_object(Bucket="uploads", Key="never was")
    s3.put_object(Bucket="uploads", Key="alone", Body=b"1")
    return s3


def held(endpoint):
    """By key the contents of all versions, the newest first; the current one of a deleted object is None."""
    s3, found = real_servers.s3_client(endpoint), {}
    for item in s3.list_object_versions(Bucket="uploads")["Versions"]:
        if not item["Key"].startswith(".drplatform/"):
            body = s3.get_object(Bucket="uploads", Key=item["Key"], VersionId=item["VersionId"])["Body"].read()
            found.setdefault(item["Key"], [] if item["IsLatest"] else [None]).append(body)
    return found


def named(backup):
    return [(name, blocks) for _, name, blocks in backup.parts]


def since(store, previous):
    with store.increment(named(previous)) as dump:
        parts = [(part.stage, part.name, list(part.blocks())) for part in dump.parts()]
        return type(previous)(parts, dump.finish())


def restored(store, full, *increments):
    with store.restore() as restore:
        for kind, backup in ((BackupKind.FULL, full), *((BackupKind.INCREMENTAL, each) for each in increments)):
            for _, name, blocks in backup.parts:
                restore.load(kind, name, iter(blocks))
        restore.loaded()
        return restore.finish()


@pytest.mark.parametrize("objects", [500, 2], ids=["in one pack", "in many"])
def test_all_versions_come_back_in_their_order(pair, s3_endpoint_pair, monkeypatch, objects):
    monkeypatch.setattr(dumps, "PACK_OBJECTS", objects)
    source, target = pair
    filled(s3_endpoint_pair[0])
    backup = take(source)
    end = bring_back(target, backup)
    assert end.refused == ()
    assert held(s3_endpoint_pair[1]) == held(s3_endpoint_pair[0])
    assert held(s3_endpoint_pair[1])["goes"] == [None, b"goes 2", b"goes 1", b"goes 0"]
    assert end.digests == backup.end.digests == source.digest() == target.digest()
    assert end.counts == backup.end.counts and end.counts["uploads#versions"] == 13


def test_a_bucket_that_keeps_no_versions_any_more_does_so_again(pair, s3_endpoint_pair):
    source, target = pair
    filled(s3_endpoint_pair[0])
    s3 = versioned(s3_endpoint_pair[0], "Suspended")
    s3.put_object(Bucket="uploads", Key="dir", Body=b"without a name")
    end = bring_back(target, take(source))
    assert (end.refused, end.digests) == ((), source.digest())
    assert held(s3_endpoint_pair[1]) == held(s3_endpoint_pair[0])
    status = real_servers.s3_client(s3_endpoint_pair[1]).get_bucket_versioning(Bucket="uploads")["Status"]
    assert status == "Suspended"


def test_increments_hold_the_new_versions_alone_and_what_was_let_go_goes(pair, s3_endpoint_pair, monkeypatch):
    monkeypatch.setattr(index, "RACY_SECONDS", -3600.0)
    source, target = pair
    s3 = filled(s3_endpoint_pair[0])
    full = take(source)
    for number in (3, 4):
        s3.put_object(Bucket="uploads", Key="dir/a", Body=f"dir/a {number}".encode())
    s3.delete_object(Bucket="uploads", Key="ü x")
    first = next(item for item in s3.list_object_versions(Bucket="uploads", Prefix="dir/a")["Versions"][::-1])
    s3.delete_object(Bucket="uploads", Key="dir/a", VersionId=first["VersionId"])
    for entry in [each for each in listing.versions(source._s3, "uploads", "comes") if each.age]:
        s3.delete_object(Bucket="uploads", Key=entry.key, VersionId=entry.version)
    increment = since(source, full)
    kept = [event for event in files.framing.events(increment.of("content/uploads")) if isinstance(event, files.content.Header)]
    assert [(header.key, header.age) for header in kept] == [("dir/a", 1), ("dir/a", 0)]
    s3.put_object(Bucket="uploads", Key="dir", Body=b"last")
    last = since(source, increment)
    end = restored(target, full, increment, last)
    assert held(s3_endpoint_pair[1]) == held(s3_endpoint_pair[0])
    assert held(s3_endpoint_pair[1])["dir/a"] == [b"dir/a 4", b"dir/a 3", b"dir/a 2", b"dir/a 1"]
    assert (end.refused, end.digests) == ((), last.end.digests)


def test_versions_that_a_listing_leaves_out_are_asked_for(pair, s3_endpoint_pair):
    """SeaweedFS leaves out versions of the object `dir` beside `dir/a` where a page ends."""
    source, _ = pair
    filled(s3_endpoint_pair[0])
    wanted = list(versions.objects(source._s3, "uploads", listing.is_protected))
    source._client = Forgetting(source._s3, "dir")
    found = list(versions.objects(source._s3, "uploads", listing.is_protected))
    assert sorted(found, key=str) == sorted(wanted, key=str)


class Forgetting:
    """A client whose listings of all versions leave out one object."""

    def __init__(self, client, key):
        self._client, self._key = client, key

    def __getattr__(self, name):
        return getattr(self._client, name)

    def list_object_versions(self, **request):
        page = self._client.list_object_versions(**request)
        if not request["Prefix"]:
            page["Versions"] = [item for item in page.get("Versions", ()) if item["Key"] != self._key]
        return page


def test_pages_of_any_size_hold_all_versions_once(pair, s3_endpoint_pair):
    source, _ = pair
    filled(s3_endpoint_pair[0])
    wanted = sorted(versions.entries(source._s3, "uploads", listing.is_protected), key=str)

    class Paged(Forgetting):
        def list_object_versions(self, **request):
            return self._client.list_object_versions(MaxKeys=3, **request)

    source._client = Paged(source._s3, "")
    assert sorted(versions.entries(source._s3, "uploads", listing.is_protected), key=str) == wanted


def test_a_target_that_keeps_no_versions_gets_the_current_ones_and_it_is_told(pair, s3_endpoint_pair):
    source, target = pair
    filled(s3_endpoint_pair[0])
    backup = take(source)

    class Versionless(Forgetting):
        def put_bucket_versioning(self, **request):
            raise files.access.ClientError(
                {"Error": {"Code": "NotImplemented"}, "ResponseMetadata": {"HTTPStatusCode": 501}}, "PutBucketVersioning"
            )

    target._client = Versionless(target._s3, "")
    end = bring_back(target, backup)
    assert len(end.refused) == 2 and end.refused[1].startswith("uploads: versioning is not taken: ")
    assert end.refused[0].startswith("uploads: 13 older versions of objects: versioning is not taken")
    assert held(s3_endpoint_pair[1]) == {key: found[:1] for key, found in held(s3_endpoint_pair[0]).items() if found[0] is not None}


def test_older_versions_of_the_targets_own_are_not_mixed_with_ours(pair, s3_endpoint_pair):
    source, target = pair
    filled(s3_endpoint_pair[0])
    backup = take(source)
    s3 = versioned(s3_endpoint_pair[1])
    s3.put_object(Bucket="uploads", Key="dir", Body=b"of the target")
    s3.delete_object(Bucket="uploads", Key="dir")
    end = bring_back(target, backup)
    assert end.refused == ("uploads: 13 older versions of objects: the target holds older versions of its own",)
    assert held(s3_endpoint_pair[1])["dir"] == [b"dir 2", b"of the target"]


def test_a_version_that_differs_is_found(pair, s3_endpoint_pair):
    source, target = pair
    filled(s3_endpoint_pair[0])
    backup = take(source)
    with pytest.raises(files.restore.errors.VerificationFailed, match="uploads#versions"), target.restore() as restore:
        for _, name, blocks in backup.parts:
            restore.load(BackupKind.FULL, name, iter(blocks))
        restore.loaded()
        s3 = real_servers.s3_client(s3_endpoint_pair[1])
        one = next(entry for entry in listing.versions(s3, "uploads", "dir/a") if entry.age == 1)
        s3.delete_object(Bucket="uploads", Key="dir/a", VersionId=one.version)
        restore.finish()


def test_only_current_ones_when_told_so(pair, s3_endpoint_pair, clock):
    filled(s3_endpoint_pair[0])
    options = {**s3_endpoint_pair[0].options, "versions": "current"}
    with contextlib.closing(files.connect(dataclasses.replace(s3_endpoint_pair[0], options=options), clock)) as source:
        backup = take(source)
        assert "uploads#versions" not in backup.end.digests and not [name for _, name, _ in backup.parts if name.startswith("versions/")]
        assert source.digest() == backup.end.digests
    options["versions"] = "some"
    with pytest.raises(files.access.errors.SettingsError, match="all or current, not some"):
        files.connect(dataclasses.replace(s3_endpoint_pair[0], options=options), clock)


def test_random_histories_come_back(pair, s3_endpoint_pair):
    seed = random.Random().getrandbits(32)
    print("seed", seed)
    generator, s3 = random.Random(seed), versioned(s3_endpoint_pair[0])
    source, target = pair
    backups = []
    for _ in range(3):
        for number in range(30):
            key = generator.choice(("a", "a/b", "ä", "c d", "e"))
            if generator.random() < 0.25:
                s3.delete_object(Bucket="uploads", Key=key)
            else:
                s3.put_object(
                    Bucket="uploads", Key=key, Body=generator.randbytes(generator.choice((0, 9, 900))), Metadata={"n": str(number)}
                )
        for entry in list(listing.versions(source._s3, "uploads")):
            if entry.age and not entry.key.startswith(".drplatform") and generator.random() < 0.2:
                s3.delete_object(Bucket="uploads", Key=entry.key, VersionId=entry.version)
        backups.append(since(source, backups[-1]) if backups else take(source))
    end = restored(target, *backups)
    assert (end.refused, end.digests) == ((), source.digest())
    assert held(s3_endpoint_pair[1]) == held(s3_endpoint_pair[0])
