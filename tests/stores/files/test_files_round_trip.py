"""What goes out comes back: content, keys, metadata, content types, tags; verified on the way, whole or refused."""

import dataclasses
import random

import botocore.exceptions
import pytest
import real_servers
from files_cases import MIB, bring_back, take

from drplatform.model import errors, ledger
from drplatform.model.backup import BackupKind
from drplatform.model.ledger import Mark
from drplatform.stores import files
from drplatform.stores.files import content, framing, lease, listing

KEYS = (
    "plain", "with space", "a+b", "ü/ñ/日本.pdf", "percent%41%2F", "q?x=1&y#z", "quote\"'<>&", "tab\there", "newline\nkey", "control\x01x",
    ".hidden", "emoji😀", "a", "a/b", "~tilde*!()", "colon:semi;", "e\u0301", "é", "-dash", "%", "{}[]^`|", "x" * 200, ".drplatform", "folder/",
)  # fmt: skip


@pytest.fixture
def pair(s3_endpoint_pair, clock):
    stores = [files.connect(endpoint, clock) for endpoint in s3_endpoint_pair]
    yield stores
    for store in stores:
        store.close()


@pytest.fixture
def source(s3_endpoint, clock):
    store = files.connect(s3_endpoint, clock)
    yield store
    store.close()


def test_reference_content_comes_back_equal(pair):
    source, target = pair
    source.seed(7, 60)
    assert target.occupants() == ()
    backup = take(source)
    assert [stage for stage, _, _ in backup.parts] == sorted(stage for stage, _, _ in backup.parts)
    end = bring_back(target, backup)
    assert end.refused == ()
    assert end.digests == backup.end.digests == source.digest() == target.digest()
    assert end.counts == backup.end.counts
    assert backup.end.counts["uploads"] == backup.end.counts["pdfs"] == 30
    assert end.reached == backup.end.end
    assert target.occupants() == ("uploads: 30 objects", "pdfs: 30 objects")
    assert source.identity() != target.identity()


def test_reference_content_is_the_same_for_the_same_seed_only(pair):
    one, other = pair
    one.seed(5, 12)
    other.seed(5, 12)
    assert one.digest() == other.digest()
    other.seed(6, 12)
    assert one.digest() != other.digest()


def test_keys_with_any_character(pair, s3_endpoint_pair):
    source, target = pair
    client = real_servers.s3_client(s3_endpoint_pair[0])
    for number, key in enumerate(KEYS):
        client.put_object(Bucket="uploads", Key=key, Body=b"" if key.endswith("/") else b"%d" % number)
    backup = take(source)
    bring_back(target, backup)
    restored = real_servers.s3_client(s3_endpoint_pair[1])
    for number, key in enumerate(KEYS):
        body = restored.get_object(Bucket="uploads", Key=key)["Body"].read()
        assert body == (b"" if key.endswith("/") else b"%d" % number), key
    assert target.digest()["uploads"].items == len(KEYS)


def test_headers_metadata_and_tags(pair, s3_endpoint_pair):
    source, target = pair
    client = real_servers.s3_client(s3_endpoint_pair[0])
    headers = {
        "CacheControl": "no-cache",
        "ContentDisposition": 'attachment; filename="x y.pdf"',
        "ContentLanguage": "de",
        "ContentEncoding": "gzip",
        "StorageClass": "STANDARD_IA",
    }
    client.put_object(
        Bucket="pdfs",
        Key="x",
        Body=b"1",
        ContentType="application/pdf",
        Metadata={"owner": "a b", "n": "1"},
        Tagging="k=v%20w&%C3%BC=%26",
        Expires="Thu, 01 Dec 2033 16:00:00 GMT",
        **headers,
    )
    bring_back(target, take(source))
    restored = real_servers.s3_client(s3_endpoint_pair[1])
    answer = restored.get_object(Bucket="pdfs", Key="x")
    assert {name: answer[name] for name in headers} == headers
    assert answer["ExpiresString"] == "Thu, 01 Dec 2033 16:00:00 GMT"
    assert answer["ContentType"] == "application/pdf"
    assert answer["Metadata"] == {"owner": "a b", "n": "1"}
    tags = restored.get_object_tagging(Bucket="pdfs", Key="x")["TagSet"]
    assert sorted(tags, key=lambda tag: tag["Key"]) == [{"Key": "k", "Value": "v w"}, {"Key": "ü", "Value": "&"}]


def test_huge_object_goes_in_parts_both_ways(pair, s3_endpoint_pair):
    source, target = pair
    data = random.Random(1).randbytes(40 * MIB + 3)
    content_header = content.Header("huge", len(data), "", "", "video/mp4", metadata={"m": "1"}, tags={"t": "2"})
    source.identity()
    files.upload.put(real_servers.s3_client(s3_endpoint_pair[0]), "uploads", content_header, data)
    backup = take(source)
    assert len(backup.of("content/uploads")) > 5
    bring_back(target, backup)
    answer = real_servers.s3_client(s3_endpoint_pair[1]).get_object(Bucket="uploads", Key="huge")
    assert answer["Body"].read() == data
    assert answer["Metadata"] == {"m": "1"}
    assert answer["TagCount"] == 1
    assert "-" in answer["ETag"], "it was not written in parts"


def test_marks_are_backed_up_but_are_no_reference_content(pair):
    source, target = pair
    marker = source.marker("client-1")
    for number in range(1, 21):
        payload = ledger.payload("client-1", number, 3)
        marker.write(Mark("client-1", number, ledger.digest(payload)), payload)
    marker.close()
    source.prober(next(source.marks()), ledger.payload("client-1", 1, 3)).attempt(1, 5.0)
    backup = take(source)
    assert source.digest()["uploads"].items == 0
    assert backup.end.digests["uploads#marks"].items == 20
    bring_back(target, backup)
    assert list(target.marks()) == list(source.marks())
    assert target.occupants() == ("uploads: 20 objects",)


def test_dump_of_empty_buckets(pair):
    source, target = pair
    backup = take(source)
    assert [name for _, name, _ in backup.parts] == ["bucket/uploads", "bucket/pdfs", "index/uploads", "index/pdfs"]
    end = bring_back(target, backup)
    assert end.counts == {"uploads": 0, "pdfs": 0, "bytes": 0}
    assert end.reached == backup.end.end


@pytest.mark.parametrize("size", [1000, 17 * MIB], ids=["small", "in parts"])
def test_flipped_content_is_refused_and_leaves_nothing(pair, s3_endpoint_pair, size):
    source, target = pair
    client = real_servers.s3_client(s3_endpoint_pair[0])
    files.upload.put(client, "uploads", content.Header("x", size, "", "", "text/plain"), b"\0" * size)
    backup = take(source)
    first = bytearray(backup.of("content/uploads")[-1])
    first[len(first) // 2] ^= 1
    backup.of("content/uploads")[-1] = bytes(first)
    with pytest.raises(errors.IntegrityError):
        bring_back(target, backup)
    restored = real_servers.s3_client(s3_endpoint_pair[1])
    with pytest.raises(botocore.exceptions.ClientError):
        restored.head_object(Bucket="uploads", Key="x")
    assert not restored.list_multipart_uploads(Bucket="uploads").get("Uploads")


def test_pack_that_misses_an_object_of_the_index_is_refused(pair):
    source, target = pair
    source.seed(1, 10)
    backup = take(source)
    blocks = backup.of("content/pdfs")
    events = list(framing.events(blocks))
    blocks[:] = framing.blocks(events[: len(events) - 1 - next(n for n, e in enumerate(reversed(events)) if isinstance(e, content.Header))])
    with pytest.raises(errors.IntegrityError, match="index"):
        bring_back(target, backup)


def test_cut_and_mangled_packs_are_refused(source):
    source.seed(1, 8)
    backup = take(source)
    (block, *_) = backup.of("content/uploads")
    end = b"".join(framing.blocks([content.End("00" * 32)]))
    for bad in (block[:-1], block[:3], b"X" + block[1:], end, block + block[:200], b"H\0\0\0\2{}", b"H\0\0\0\2[["):
        with source.restore() as target, pytest.raises(errors.IntegrityError):
            target.load(BackupKind.FULL, "content/uploads/000000", iter([bad]))
        assert source.unfinished() == "a restore without a plan"
        assert lease.forget(source._s3, "uploads") == "" == source.unfinished()


def test_read_back_that_differs_is_named(pair, s3_endpoint_pair):
    source, target = pair
    source.seed(1, 6)
    backup = take(source)
    with target.restore() as restore:
        for _, name, blocks in backup.parts:
            restore.load(BackupKind.FULL, name, iter(blocks))
        restore.loaded()
        real_servers.s3_client(s3_endpoint_pair[1]).put_object(Bucket="pdfs", Key="foreign", Body=b"1")
        with pytest.raises(errors.VerificationFailed, match="pdfs"):
            restore.finish()


def test_object_changed_and_deleted_during_the_dump(source, s3_endpoint):
    client = real_servers.s3_client(s3_endpoint)
    for key in ("changes", "goes", "stays"):
        client.put_object(Bucket="uploads", Key=key, Body=b"old")

    def disturb(part: str) -> None:
        if part.startswith("content/uploads"):
            client.put_object(Bucket="uploads", Key="changes", Body=b"newer", Metadata={"v": "2"})
            client.delete_object(Bucket="uploads", Key="goes")

    backup = take(source, before=disturb)
    assert backup.end.digests["uploads"] == source.digest()["uploads"]
    assert backup.end.counts["uploads"] == 2


@pytest.mark.parametrize("replaced", [True, False], ids=["replaced", "deleted"])
def test_object_that_changes_while_it_is_read_is_never_half_old(pair, s3_endpoint_pair, replaced):
    """The connection breaks in the middle, and the object is another one when reading goes on."""
    source, target = pair
    client = real_servers.s3_client(s3_endpoint_pair[0])
    header = content.Header("x", 17 * MIB, "", "", "text/plain")
    files.upload.put(client, "uploads", header, b"a" * header.size)
    s3 = _Breaking(source._s3)
    done = []

    def disturb(name: str, number: int) -> None:
        if name.startswith("content") and not done:
            done.append(name)
            if replaced:
                client.put_object(Bucket="uploads", Key="x", Body=b"b" * 1000)
            else:
                client.delete_object(Bucket="uploads", Key="x")
            s3.broken = True

    source._client = s3
    backup = take(source, between=disturb)
    assert any(isinstance(event, content.Void) for event in framing.events(backup.of("content/uploads")))
    bring_back(target, backup)
    restored = real_servers.s3_client(s3_endpoint_pair[1])
    if replaced:
        assert restored.get_object(Bucket="uploads", Key="x")["Body"].read() == b"b" * 1000
    assert target.digest()["uploads"].items == int(replaced)
    assert not restored.list_multipart_uploads(Bucket="uploads").get("Uploads")


def test_reading_goes_on_where_the_connection_broke(source, s3_endpoint):
    data = random.Random(2).randbytes(3 * MIB)
    real_servers.s3_client(s3_endpoint).put_object(Bucket="uploads", Key="x", Body=data)
    s3 = _Breaking(source._s3)
    events = []
    for event in content.read(s3, "uploads", listing.Entry("x")):
        events.append(event)
        s3.broken = len(events) == 2
    assert b"".join(event for event in events if isinstance(event, bytes)) == data
    assert s3.breaks == 1
    assert content.Void() not in events


def test_endpoint_that_lacks_something_is_refused(s3_endpoint, clock):
    for lacking in ({"options": {}}, {"addresses": ()}, {"credentials": None}):
        with pytest.raises(errors.SettingsError):
            files.connect(dataclasses.replace(s3_endpoint, **lacking), clock)


class _Breaking:
    """A client whose next read from an open body fails while `broken` is set, once."""

    def __init__(self, client):
        self._client, self.broken, self.breaks = client, False, 0

    def __getattr__(self, name):
        return getattr(self._client, name)

    def get_object(self, **request):
        answer = self._client.get_object(**request)
        return {**answer, "Body": _Body(self, answer["Body"])}


class _Body:
    def __init__(self, client, body):
        self._client, self._body = client, body

    def read(self, size=None):
        if self._client.broken:
            self._client.broken, self._client.breaks = False, self._client.breaks + 1
            self._body.close()
            raise ConnectionResetError("broken by the test")
        return self._body.read(size)

    def close(self):
        self._body.close()
