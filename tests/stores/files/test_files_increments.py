"""Increments read what changed alone; delta restores write what differs alone; checks find what is planted."""

import contextlib
import random

import pytest
import real_servers
from files_cases import MIB, Backup, take

from drplatform.model import errors, sampling
from drplatform.model.backup import BackupKind
from drplatform.model.ports import ObjectChoice
from drplatform.stores import files
from drplatform.stores.files import dump as dumps
from drplatform.stores.files import index


@pytest.fixture
def source(s3_endpoint, clock):
    with contextlib.closing(files.connect(s3_endpoint, clock)) as store:
        yield store


@pytest.fixture
def pair(s3_endpoint_pair, clock):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(files.connect(endpoint, clock))) for endpoint in s3_endpoint_pair]


@pytest.fixture
def at_rest(monkeypatch):
    """What was written just before counts as changed; these tests do not wait for it to grow old."""
    monkeypatch.setattr(index, "RACY_SECONDS", -3600.0)


def named(backup: Backup):
    return [(name, blocks) for _, name, blocks in backup.parts]


def since(store, previous: Backup) -> Backup:
    with store.increment(named(previous)) as dump:
        parts = [(part.stage, part.name, list(part.blocks())) for part in dump.parts()]
        return Backup(parts, dump.finish())


class Counting:
    """A client that counts the requests it passes on."""

    def __init__(self, client):
        self._client, self.calls = client, []

    def __getattr__(self, name):
        def call(**request):
            self.calls.append((name, request.get("Key")))
            return getattr(self._client, name)(**request)

        return call

    def of(self, name):
        return sorted(key for called, key in self.calls if called == name and not key.startswith(".drplatform/"))


def counted(store) -> Counting:
    store._client = Counting(store._s3)
    return store._client


def change(endpoint):
    s3 = real_servers.s3_client(endpoint)
    s3.put_object(Bucket="uploads", Key="a/changed", Body=b"new content")
    s3.put_object(Bucket="uploads", Key="a/added", Body=b"")
    s3.delete_object(Bucket="uploads", Key="b/goes")


def before(endpoint, size=1000):
    s3 = real_servers.s3_client(endpoint)
    for key in ("a/changed", "a/stays", "b/goes", "b/ü stays"):
        s3.put_object(Bucket="uploads", Key=key, Body=key.encode(), Metadata={"of": "before"}, Tagging="k=v")
    s3.put_object(Bucket="pdfs", Key="huge", Body=random.Random(1).randbytes(size))


def test_an_increment_reads_what_changed_alone_and_the_chain_restores_it(pair, s3_endpoint_pair, at_rest):
    source, target = pair
    before(s3_endpoint_pair[0])
    full = take(source)
    change(s3_endpoint_pair[0])
    requests = counted(source)
    first = since(source, full)
    assert requests.of("get_object") == ["a/added", "a/changed"]
    assert first.end.counts["unchanged"] == 3
    assert (first.end.begin, first.end.digests) == (full.end.end, source.digest())
    real_servers.s3_client(s3_endpoint_pair[0]).put_object(Bucket="pdfs", Key="later", Body=b"1")
    second = since(source, first)
    assert second.end.counts["unchanged"] == 5
    with target.restore() as restore:
        for kind, backup in ((BackupKind.FULL, full), (BackupKind.INCREMENTAL, first), (BackupKind.INCREMENTAL, second)):
            for _, name, blocks in backup.parts:
                restore.load(kind, name, iter(blocks))
        restore.loaded()
        end = restore.finish()
    assert end.digests == second.end.digests == source.digest()
    assert (end.reached, end.refused) == (second.end.end, ())


def test_what_was_written_just_before_a_backup_is_read_again(source, s3_endpoint, monkeypatch):
    monkeypatch.setattr(index, "RACY_SECONDS", 3600.0)
    before(s3_endpoint)
    full = take(source)
    assert since(source, full).end.counts["unchanged"] == 0


def test_the_backup_of_another_store_is_continued_by_nobody(pair):
    pair[0].seed(1, 3), pair[1].seed(1, 3)
    with pytest.raises(errors.IntegrityError, match="two histories"):
        since(pair[1], take(pair[0]))


def test_an_increment_without_what_it_continues_is_refused(pair, s3_endpoint_pair, at_rest):
    before(s3_endpoint_pair[0])
    full = take(pair[0])
    increment = since(pair[0], full)
    with pytest.raises(errors.VerificationFailed, match="uploads"), pair[1].restore() as restore:
        for _, name, blocks in increment.parts:
            restore.load(BackupKind.INCREMENTAL, name, iter(blocks))
        restore.loaded()
        restore.finish()
    with pytest.raises(errors.IntegrityError, match="whole chain"):
        pair[1].reconcile([named(increment)])


def test_a_delta_restore_writes_what_differs_alone(source, s3_endpoint, at_rest, monkeypatch):
    monkeypatch.setattr(dumps, "PACK_OBJECTS", 1)
    before(s3_endpoint)
    full, digest = take(source), source.digest()
    change(s3_endpoint)
    requests = counted(source)
    taken = []

    def noticed(name, blocks):
        taken.append(name)
        yield from blocks

    done = source.reconcile([[(name, noticed(name, blocks)) for name, blocks in named(full)]], ObjectChoice(delete=True))
    assert (done.chosen, done.written, done.deleted, done.refused) == (5, 2, 1, ())
    assert requests.of("put_object") == ["a/changed", "b/goes"]
    assert requests.of("delete_object") == ["a/added"]
    assert len([name for name in taken if name.startswith("content/")]) == 2, "only the packs that are needed are fetched"
    assert source.digest() == digest
    again = source.reconcile([named(full)], ObjectChoice(delete=True, closely=True))
    assert (again.written, again.deleted) == (0, 0)


def test_a_change_of_tags_alone_is_found_when_looked_at_closely(source, s3_endpoint, at_rest):
    before(s3_endpoint)
    full, digest = take(source), source.digest()
    s3 = real_servers.s3_client(s3_endpoint)
    s3.put_object_tagging(Bucket="uploads", Key="a/stays", Tagging={"TagSet": [{"Key": "k", "Value": "other"}]})
    assert source.digest() != digest
    assert source.reconcile([named(full)], ObjectChoice(closely=True)).written == 1
    assert source.digest() == digest


def test_a_chain_is_restored_by_prefix_and_object_into_another_bucket(pair, s3_endpoint_pair, at_rest):
    source, target = pair
    before(s3_endpoint_pair[0], 17 * MIB)
    full = take(source)
    change(s3_endpoint_pair[0])
    chain = [named(full), named(since(source, full))]
    s3 = real_servers.s3_client(s3_endpoint_pair[1])
    s3.put_object(Bucket="pdfs", Key="a/of others", Body=b"stays")
    done = target.reconcile(chain, ObjectChoice(prefix="a/", into={"uploads": "pdfs", "pdfs": "uploads"}))
    assert (done.chosen, done.written) == (3, 3)
    assert keys(s3, "pdfs") == ["a/added", "a/changed", "a/of others", "a/stays"]
    assert s3.get_object(Bucket="pdfs", Key="a/changed")["Body"].read() == b"new content"
    assert s3.get_object(Bucket="pdfs", Key="a/stays")["Metadata"] == {"of": "before"}
    assert target.reconcile(chain, ObjectChoice(keys=frozenset({"huge", "b/ü stays"}))).written == 2
    assert keys(s3, "uploads") == ["b/ü stays"]
    with pytest.raises(errors.TargetRefused, match="elsewhere"):
        target.reconcile(chain, ObjectChoice(into={"uploads": "elsewhere"}))


def test_a_restore_that_broke_off_is_finished_by_what_is_missing(pair, monkeypatch):
    source, target = pair
    monkeypatch.setattr(dumps, "PACK_OBJECTS", 2)
    source.seed(3, 24)
    backup = take(source)
    packs = [part for part in backup.parts if part[1].startswith("content")]
    with contextlib.suppress(errors.IntegrityError), target.restore() as restore:
        for _, name, blocks in packs[: len(packs) // 2]:
            restore.load(BackupKind.FULL, name, iter(blocks))
        restore.load(BackupKind.FULL, packs[-1][1], iter([packs[-1][2][0][:-5]]))
    done = target.reconcile([named(backup)])
    assert 0 < done.written < done.chosen == 24
    assert target.digest() == source.digest()


def test_a_check_finds_what_is_planted(source, s3_endpoint):
    before(s3_endpoint)
    backup = named(take(source))
    checked = source.check(backup, 1.0, random.Random(1))
    assert (checked.population, checked.sampled, checked.problems, checked.bound()) == (5, 5, (), 1)
    s3 = real_servers.s3_client(s3_endpoint)
    s3.put_object(Bucket="uploads", Key="a/changed", Body=b"a/chang3d", Metadata={"of": "before"}, Tagging="k=v")
    s3.put_object(Bucket="uploads", Key="a/stays", Body=b"a/stays", Metadata={"of": "after"}, Tagging="k=v")
    s3.put_object(Bucket="uploads", Key="b/extra", Body=b"")
    s3.delete_object(Bucket="uploads", Key="b/goes")
    assert set(source.check(backup, 1.0, random.Random(1)).problems) == {
        "uploads/a/changed has another content",
        "uploads/a/stays has other metadata",
        "uploads/b/extra is there and not in the backup",
        "uploads/b/goes is not there",
    }
    some = source.check(backup, 0.2, random.Random(1))
    assert some.sampled == 1 and len(some.problems) >= 2, "names are all compared, whatever the share"


def keys(s3, bucket):
    found = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    return [key for key in found if not key.startswith(".drplatform/")]


@pytest.mark.parametrize(
    ("population", "sampled", "defects"), [(50, 10, 1), (50, 10, 3), (7, 3, 2), (20, 19, 1), (9, 0, 2), (9, 9, 1), (9, 5, 0)]
)
def test_the_likelihood_is_what_many_samples_show(population, sampled, defects):
    generator = random.Random(population)
    hits = sum(min(sampling.choose(range(population), population, sampled, generator), default=population) < defects for _ in range(4000))
    assert abs(hits / 4000 - sampling.likelihood(population, sampled, defects)) < 0.03


def test_bounds_of_samples():
    assert sampling.bound(1000, 1000) == 1
    assert sampling.bound(50_000, 500) == 298
    assert sampling.likelihood(50_000, 500, 298) >= 0.95 > sampling.likelihood(50_000, 500, 297)
    assert sampling.bound(10, 0) == 11
    assert (sampling.size(0, 0.1), sampling.size(5, 0.01), sampling.size(1000, 0.05)) == (0, 1, 50)
    assert len(list(sampling.choose(range(100), 100, 17, random.Random(2)))) == 17
    with pytest.raises(ValueError, match="share"):
        sampling.size(5, 0)
