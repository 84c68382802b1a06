"""What every repository promises (ports.Repository), tested on each one there is: in memory, in a directory, in a real S3 server."""

import base64
import hashlib
import io
import itertools
import os
import pkgutil
import random
import secrets
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from drplatform import repositories
from drplatform.model import errors
from drplatform.model.ports import Endpoint, OfFiles
from drplatform.repositories import directory, memory, s3

KINDS = ("memory", "directory", "s3")
ODD_KEYS = (
    "a",
    "store/full/20261123T163938Z-3ea48d/chunks/000001",
    "with space/and  two",
    "ümläut/€/日本語/🙂",
    "plus+percent%20equals=amp&hash#question?",
    "quotes'\"`/star*[x]{y}",
    ".hidden/..dots/...",
    "~tilde/-dash/_under/@at:colon;semicolon,comma!",
    "long/" + "x" * 200,
    "deep/" + "/".join("abcdefghij"),
)


def place_of(endpoint: Endpoint) -> Endpoint:
    return Endpoint("files", endpoint.addresses, {"bucket": "uploads", "region": "us-east-1"}, endpoint.credentials)


@pytest.fixture(params=KINDS)
def repository(request, tmp_path, clock):
    match request.param:
        case "memory":
            return memory.MemoryRepository(clock)
        case "directory":
            return directory.open(tmp_path / "vault", clock)
        case "s3":
            return s3.open(place_of(request.getfixturevalue("s3_endpoint")), clock)


def keys(repository, prefix=""):
    return [info.key for info in repository.list(prefix)]


def test_every_repository_there_is_is_tested():
    assert {m.name for m in pkgutil.iter_modules(repositories.__path__) if not m.name.startswith("_")} == set(KINDS)


# -- put and get --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_what_was_put_is_got(repository, size):
    data = random.Random(size).randbytes(size)
    repository.put("a/b", data)
    assert repository.get("a/b") == data


def test_what_is_not_there_is_missing(repository):
    repository.put("a/b/c", b"1")
    for key in ("a/b", "a", "a/b/d", "a/b/c/d", "none"):
        with pytest.raises(errors.ObjectMissing, match=key):
            repository.get(key)


def test_an_object_that_is_a_file_can_be_read_for_as_long_as_it_is_open(tmp_path, clock):
    repository = directory.open(tmp_path / "vault", clock)
    repository.put("a/b", b"content")
    assert isinstance(repository, OfFiles) and not isinstance(memory.MemoryRepository(clock), OfFiles)
    with repository.open("a/b") as file:
        repository.delete("a/b")
        repository.put("a/b", b"another")
        assert file.read() == b"content"
    for missing in ("a", "a/c", "a/b/c"):
        with pytest.raises(errors.ObjectMissing):
            repository.open(missing)


def test_an_object_is_never_overwritten(repository):
    repository.put("key", b"first")
    for other in (b"second", b"firs", b"first and more", b""):
        with pytest.raises(errors.ObjectExists, match="key"):
            repository.put("key", other)
    assert repository.get("key") == b"first"
    repository.put("key", b"first")
    assert keys(repository) == ["key"]


def test_of_many_that_put_at_once_one_wins(repository):
    meeting = threading.Barrier(8, timeout=30)

    def put(number):
        meeting.wait()
        try:
            repository.put("contended", b"%d" % number * 1000)
        except errors.ObjectExists:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        winners = [n for n in pool.map(put, range(8)) if n is not None]
    assert len(winners) == 1
    assert repository.get("contended") == b"%d" % winners[0] * 1000


def test_many_at_once_do_not_disturb_each_other(repository):
    def use(number):
        data = b"%d" % number * 2000
        repository.put(f"many/{number}", data)
        return repository.get(f"many/{number}") == data

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(use, range(64)))
    assert len(keys(repository, "many/")) == 64


@pytest.mark.parametrize("key", ODD_KEYS, ids=range(len(ODD_KEYS)))
def test_odd_keys(repository, key):
    repository.put(key, key.encode())
    assert repository.get(key) == key.encode()
    assert keys(repository) == keys(repository, key) == [key]
    repository.delete(key)
    assert keys(repository) == []


def test_a_large_object(repository):
    data = random.Random(1).randbytes(1 << 20) * 24
    repository.put("large", data)
    assert [info.size for info in repository.list("")] == [len(data)]
    assert hashlib.sha256(repository.get("large")).digest() == hashlib.sha256(data).digest()


def test_a_reader_never_sees_half_an_object(repository):
    size, done, seen = 4 << 20, threading.Event(), []

    def read():
        while not done.is_set():
            for info in repository.list("whole/"):
                assert info.size == size
            for number in range(6):
                try:
                    seen.append(repository.get(f"whole/{number}") == bytes([number]) * size)
                except errors.ObjectMissing:
                    continue

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            for number in range(6):
                repository.put(f"whole/{number}", bytes([number]) * size)
        finally:
            done.set()
        for reader in readers:
            reader.result(60)
    assert all(seen)


# -- list and delete ----------------------------------------------------------------------------------------------------------


def test_a_listing_tells_size_and_time(repository, clock):
    before = clock.utc()
    repository.put("a", b"12345")
    (info,) = repository.list("")
    assert (info.key, info.size) == ("a", 5)
    assert info.modified.tzinfo is not None and info.modified.utcoffset() == UTC.utcoffset(None)
    assert before - timedelta(seconds=2) <= info.modified <= clock.utc() + timedelta(seconds=2)


def test_a_listing_is_in_order_of_keys_and_of_one_prefix(repository):
    put = ["a/1", "a/2", "ab/1", "b/1/x", "b/1/y", "b/10", "b/2", "c"]
    for key in random.Random(3).sample(put, len(put)):
        repository.put(key, b"x")
    assert keys(repository) == put
    assert keys(repository, "a") == ["a/1", "a/2", "ab/1"]
    assert keys(repository, "a/") == ["a/1", "a/2"]
    assert keys(repository, "b/1") == ["b/1/x", "b/1/y", "b/10"]
    assert keys(repository, "c") == ["c"]
    assert keys(repository, "d") == keys(repository, "a/1/") == keys(repository, "A") == []


def test_a_listing_is_complete_beyond_a_page(repository):
    names = [f"page/{number:05d}" for number in range(1_010)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: repository.put(key, b"x"), names))
    assert keys(repository, "page/") == names


def test_what_was_deleted_is_gone_and_may_be_put_anew(repository):
    repository.put("a/b", b"1")
    repository.put("a/c", b"2")
    repository.delete("a/b")
    repository.delete("a/b")
    for none in ("never/there", "a", "a/c/d"):
        repository.delete(none)
    assert keys(repository) == ["a/c"]
    with pytest.raises(errors.ObjectMissing):
        repository.get("a/b")
    repository.put("a/b", b"other")
    assert repository.get("a/b") == b"other"


def test_it_says_where_it_is_without_secrets(repository, request):
    told = repository.describe() + repr(repository)
    assert repository.describe()
    if isinstance(repository, s3.S3Repository):
        secret = request.getfixturevalue("s3_endpoint").credentials.password.reveal()
        assert secret not in told


# -- what only some can meet --------------------------------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from drplatform.environment import SystemClock, repository
from drplatform.model.ports import Address, Credentials, Endpoint
from drplatform.model.secret import Secret
words = sys.stdin.read().split()
place = Path(words[1])
if words[0] == "s3":
    address, user, password = words[1:]
    host, port = address.split(":")
    options = {"bucket": "uploads", "region": "us-east-1"}
    place = Endpoint("files", (Address(host, int(port)),), options, Credentials(user, Secret(password)))
target = repository(place, SystemClock())
for number in range(10_000):
    print(number, flush=True)
    target.put(f"killed/{number:05d}", bytes([number % 251]) * 3_000_000)
"""


@pytest.mark.parametrize("kind", ["directory", "s3"])
def test_a_writer_killed_at_any_moment_leaves_only_whole_objects(kind, tmp_path, clock, request):
    if kind == "s3":
        endpoint = request.getfixturevalue("s3_endpoint")
        repository = s3.open(place_of(endpoint), clock)
        words = ["s3", endpoint.addresses[0], endpoint.credentials.user, endpoint.credentials.password.reveal()]
    else:
        repository = directory.open(tmp_path / "vault", clock)
        words = ["directory", tmp_path / "vault"]
    chance = random.Random(secrets.randbits(32))
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", WRITER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
            writer.stdin.write(" ".join(map(str, words)))
            writer.stdin.close()
            list(itertools.islice(writer.stdout, 3))
            clock.wait(threading.Event(), chance.random() * 0.03)
            writer.send_signal(signal.SIGKILL)
        found = list(repository.list("killed/"))
        assert len(found) >= 2, "planted: something was written"
        for info in found:
            number = int(info.key[-5:])
            assert info.size == 3_000_000 and repository.get(info.key) == bytes([number % 251]) * 3_000_000
            repository.delete(info.key)


@pytest.mark.parametrize(
    "key", ["", "/", "/etc/passwd", "..", "../outside", "a/../../outside", "a/../b", "a//b", "a/", "./a", ".incoming/x", "nul\0"]
)
def test_no_key_leads_out_of_the_directory(tmp_path, clock, key):
    repository = directory.open(tmp_path / "vault", clock)
    for use in (lambda: repository.put(key, b"x"), lambda: repository.get(key), lambda: repository.delete(key)):
        with pytest.raises(errors.SettingsError, match="is no key"):
            use()
    assert [p.name for p in tmp_path.rglob("*")] == ["vault", ".incoming"]


def test_a_directory_that_is_full_or_read_only_is_told(tmp_path, clock):
    repository = directory.open(tmp_path / "vault", clock)
    repository.put("a", b"1")
    with pytest.raises(errors.StoreError):
        repository.put("a/b", b"below an object")
    with pytest.raises(errors.StoreError):
        repository.put("x" * 300, b"too long a name")
    assert keys(repository) == ["a"]


def test_what_killed_writers_left_aside_is_forgotten_after_a_day(tmp_path, clock):
    repository = directory.open(tmp_path / "vault", clock)
    repository.put("a", b"1")
    old, new = (tmp_path / "vault" / ".incoming" / name for name in ("old", "new"))
    for left in (old, new):
        left.write_bytes(b"half")
    os.utime(old, (clock.utc().timestamp() - 2 * 24 * 3600,) * 2)
    assert keys(directory.open(tmp_path / "vault", clock)) == ["a"]
    assert new.exists() and not old.exists()
    assert keys(repository, "../") == keys(repository, "a/../") == keys(repository, "/") == []


def test_two_processes_may_share_a_directory(tmp_path, clock):
    first, second = directory.open(tmp_path / "vault", clock), directory.open(tmp_path / "vault", clock)
    first.put("a", b"1")
    assert second.get("a") == b"1"
    with pytest.raises(errors.ObjectExists):
        second.put("a", b"2")
    assert not list(Path(tmp_path / "vault" / ".incoming").iterdir()), "nothing is left aside"


def test_what_changes_on_its_way_is_refused_and_the_checksum_is_what_is_signed(s3_endpoint, clock):
    repository, sent = s3.open(place_of(s3_endpoint), clock), []

    def spoil(request, **of_event):
        sent.append(dict(request.headers.items()))
        request.body = io.BytesIO(b"spoilt!")

    repository._client.meta.events.register("before-send.s3.PutObject", spoil)
    with pytest.raises(errors.StoreError, match="BadDigest"):
        repository.put("a", b"content")
    assert not list(repository.list(""))
    taken = hashlib.sha256(b"content").digest()
    for headers in sent:
        assert headers["x-amz-checksum-sha256"] == base64.b64encode(taken) and headers["X-Amz-Content-SHA256"] == taken.hex().encode()
    repository._client.meta.events.unregister("before-send.s3.PutObject", spoil)
    with pytest.raises(errors.StoreError, match="BadDigest"):
        repository.put("a", b"content", hashlib.sha256(b"another").hexdigest())
    repository.put("a", b"content", hashlib.sha256(b"content").hexdigest())
    assert repository.get("a") == b"content"


def test_wrong_credentials_are_refused_at_once_and_not_shown(s3_endpoint, clock):
    place = place_of(s3_endpoint)
    wrong = type(place.credentials)(place.credentials.user, type(place.credentials.password)("wrong-secret-of-mine"))
    repository = s3.open(Endpoint(place.kind, place.addresses, place.options, wrong), clock)
    begin = clock.monotonic()
    for use in (lambda: repository.put("a", b"1"), lambda: repository.get("a"), lambda: list(repository.list(""))):
        with pytest.raises(errors.StoreError) as caught:
            use()
        assert "wrong-secret-of-mine" not in str(caught.value)
    assert clock.monotonic() - begin < 5


def test_a_server_that_is_away_is_told_within_bounds(s3_endpoint, clock):
    place = place_of(s3_endpoint)
    nobody = type(place.addresses[0])("127.0.0.1", 1)
    repository = s3.open(Endpoint(place.kind, (nobody,), place.options, place.credentials), clock)
    begin = clock.monotonic()
    with pytest.raises(errors.StoreError, match=r"Could not fetch a in bucket uploads at http://127\.0\.0\.1:1"):
        repository.get("a")
    assert 1 < clock.monotonic() - begin < 15, "it was tried again, but not for ever"


def test_a_bucket_that_is_not_there_is_told(s3_endpoint, clock):
    place = place_of(s3_endpoint)
    repository = s3.open(Endpoint(place.kind, place.addresses, {**place.options, "bucket": "nowhere"}, place.credentials), clock)
    with pytest.raises(errors.StoreError, match="nowhere"):
        repository.put("a", b"1")
    with pytest.raises(errors.StoreError, match="nowhere"):
        list(repository.list(""))


@pytest.mark.parametrize("lacking", ["addresses", "bucket", "credentials"])
def test_an_endpoint_that_says_too_little_is_refused(s3_endpoint, clock, lacking):
    place = place_of(s3_endpoint)
    poor = Endpoint(
        "files",
        () if lacking == "addresses" else place.addresses,
        {} if lacking == "bucket" else place.options,
        None if lacking == "credentials" else place.credentials,
    )
    with pytest.raises(errors.SettingsError):
        s3.open(poor, clock)
