"""A restore finds in the server what it loaded, or fails: whatever was lost, changed, added or doubled on the way, and however it was cut off."""

import hashlib
from itertools import accumulate

import bson
import mongodb_cases as cases
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drplatform.model import errors
from drplatform.model.backup import BackupKind
from drplatform.stores.mongodb import contents, dump, fingerprint, raw
from drplatform.stores.mongodb import lease as leases

PLAN = "the plan"


@pytest.fixture
def backed_up(pair, monkeypatch):
    """A full backup of two collections in several blocks, and a log that concerns one of them; what is there then."""
    source, to = pair
    cases.in_small_batches(monkeypatch)
    monkeypatch.setattr(leases, "_STILL_SECONDS", 0.0)
    with cases.client(source.endpoint) as client:
        for name in ("calm", "busy"):
            client.app[name].insert_many([{"_id": n, "x": "y" * 90} for n in range(30)])
        client.app.calm.create_index("x")
        parts, end = cases.take(source)
        with cases.captured(source, end.end) as batches:
            client.app.busy.update_many({}, {"$set": {"n": 1}})
            client.app.busy.rename("renamed")
    return source, to, parts, [batch.block for batch in batches]


def restore(store, parts, blocks, meanwhile=lambda client: None, again=False):
    """With something else done to the server when all is loaded, before the log, or before indexes are built where none follows."""
    with store.resume(PLAN, again) as restoring:
        if not restoring.settled:
            for name, _, content in sorted(parts, key=lambda part: part[1]):
                if left := content[restoring.done(name) :]:
                    restoring.load(BackupKind.FULL, name, iter(left))
        restoring.loaded(last=blocks is None)
        with cases.client(store.endpoint) as client:
            meanwhile(client)
        if blocks is not None:
            restoring.replay(iter(blocks), None)
        return restoring.finish()


def apps(end):
    """The collections of `app` whose content the restore has compared."""
    return {name.removeprefix("app.") for name in end.compared if name.startswith("app.")}


DAMAGE = {
    "changed": lambda client: client.app.calm.update_one({"_id": 7}, {"$set": {"x": "z" * 90}}),
    "lost": lambda client: client.app.calm.delete_one({"_id": 7}),
    "added": lambda client: client.app.calm.insert_one({"_id": 30, "x": "y" * 90}),
    "lost and another added": lambda client: (client.app.calm.delete_one({"_id": 7}), client.app.calm.insert_one({"_id": 30})),
    "lost as a whole": lambda client: client.app.calm.drop(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_not_in_the_server_as_it_was_loaded_fails_the_restore(backed_up, damage):
    """With a log after it and without one. It is then no finished restore, and to go on with it begins anew."""
    source, to, parts, blocks = backed_up
    for log in (None, blocks):
        with pytest.raises(errors.RecoveryFailed, match=r"app\.calm holds \d+ documents that are not the 30 of the backup"):
            restore(to, parts, log, DAMAGE[damage], again=log is not None)
    assert to.unfinished() == PLAN
    end = restore(to, parts, blocks, again=True)
    assert cases.differences(cases.everything(source.endpoint), cases.everything(to.endpoint)) == []
    assert apps(end) == {"calm"} and to.unfinished() == ""


def test_what_the_log_leaves_alone_is_compared_and_what_it_changes_is_not(backed_up):
    """A collection that is only renamed is, under its new name."""
    source, to, parts, blocks = backed_up
    assert apps(cases.restore(to, parts)) == {"calm", "busy"}
    cases.empty(to.endpoint)
    assert apps(cases.restore(to, parts, blocks)) == {"calm"}
    with cases.client(source.endpoint) as client:
        _, reached = cases.take(source)
        with cases.captured(source, reached.end) as batches:
            client.app.calm.rename("calm2")
        parts, reached = cases.take(source)
        with cases.captured(source, reached.end) as batches:
            client.app.calm2.rename("calm3")
    cases.empty(to.endpoint)
    end = cases.restore(to, parts, [batch.block for batch in batches])
    assert apps(end) == {"calm3", "renamed"} and end.counts["app.calm3"] == 30


def test_a_restore_that_was_cut_off_compares_also_what_the_attempt_before_loaded(backed_up):
    """Cut off within the documents, and when all was loaded."""
    _, to, parts, blocks = backed_up
    for stage in (leases.DATA, leases.INDEXING):
        cases.empty(to.endpoint)
        with to.resume(PLAN, False) as restoring:
            for name, _, content in sorted(parts, key=lambda part: part[1]):
                if stage != leases.DATA or name != dump.LOG:
                    whole = stage != leases.DATA or not name.startswith("data/app.calm")
                    restoring.load(BackupKind.FULL, name, iter(content if whole else content[:2]))
            if stage == leases.INDEXING:
                restoring.loaded()
        with cases.client(to.endpoint) as client:
            assert client.drplatform.restoring.find_one({"_id": "restore"})["stage"] == stage
            client.app.calm.update_one({"_id": 0}, {"$set": {"x": "z" * 90}})
        with pytest.raises(errors.RecoveryFailed, match=r"app\.calm holds 30 documents that are not the 30"):
            restore(to, parts, blocks, again=True)
        assert apps(restore(to, parts, blocks, again=True)) == {"calm"}


_EARLIER = (
    {"$unset": {leases.SEED: 1, "tally": 1, "held": 1}},
    {"$rename": {leases.SEED: "seed"}, "$set": {"tally.content.xxh3": "f" * 32, "held.xxh3": "f" * 32}},
)
"""What made the notes those of earlier versions: they held nothing, or fingerprints of twice the width."""


@pytest.mark.parametrize("change", _EARLIER, ids=["none", "wider"])
def test_an_attempt_whose_notes_of_what_it_loaded_say_nothing_here_is_begun_anew(backed_up, change):
    """One of an earlier version: what it loaded could not be compared."""
    source, to, parts, blocks = backed_up
    for stage in (leases.DATA, leases.INDEXING):
        cases.empty(to.endpoint)
        with to.resume(PLAN, False) as restoring:
            for name, _, content in sorted(parts, key=lambda part: part[1]):
                if stage != leases.DATA or name != dump.LOG:
                    restoring.load(BackupKind.FULL, name, iter(content))
            if stage == leases.INDEXING:
                restoring.loaded()
        with cases.client(to.endpoint) as client:
            client.drplatform.restoring.update_many({"_id": {"$not": {"$regex": "^open"}}}, change)
            assert client.drplatform.restoring.find_one({"_id": "restore"})["stage"] == stage
        end = restore(to, parts, blocks, again=True)
        assert apps(end) == {"calm"}
        assert cases.differences(cases.everything(source.endpoint), cases.everything(to.endpoint)) == []


def _without_a_block(blocks):
    return [*blocks[:1], *blocks[2:]]


def _with_another_document(blocks):
    first = list(raw.documents(blocks[0]))
    return [b"".join([bson.encode({"_id": 1000, "x": "y" * 90}), *first[1:]]), *blocks[1:]]


@pytest.mark.parametrize("spoil", [_without_a_block, _with_another_document])
def test_what_comes_out_of_the_backup_must_be_what_the_dump_put_in(backed_up, spoil):
    _, to, parts, _ = backed_up
    spoiled = [(name, stage, spoil(blocks) if name.startswith("data/app.calm") else blocks) for name, stage, blocks in parts]
    with pytest.raises(errors.IntegrityError, match=r"documents of app\.calm, and not the 30 that were dumped"):
        cases.restore(to, spoiled)


def test_a_backup_of_an_earlier_version_does_not_say_what_was_dumped_and_is_compared_with_what_was_loaded(backed_up):
    """Its manifest holds digests of content, which are found, too; where the dump tells of its blocks, nobody asks for them."""
    source, to, parts, _ = backed_up
    end = cases.restore(to, cases.of_an_earlier_version(parts))
    assert apps(end) == {"calm", "busy"} and end.digests["app.calm"] == source.digest()["app.calm"] == to.digest()["app.calm"]
    cases.empty(to.endpoint)
    assert "app.calm" not in cases.restore(to, parts).digests


def test_a_backup_of_an_earlier_version_that_says_how_many_documents_is_held_to_that(backed_up):
    _, to, parts, _ = backed_up

    def counted_alone(block):
        told = bson.decode(block)
        return bson.encode({**told, "contents": [{"uuid": each["uuid"], "documents": each["documents"]} for each in told["contents"]]})

    earlier = [(name, stage, [counted_alone(blocks[0]), *blocks[1:]] if name == dump.LOG else blocks) for name, stage, blocks in parts]
    spoiled = [(name, stage, _without_a_block(blocks) if name.startswith("data/app.calm") else blocks) for name, stage, blocks in earlier]
    with pytest.raises(errors.IntegrityError, match=r"documents of app\.calm, and not the 30 that were dumped"):
        cases.restore(to, spoiled)
    cases.empty(to.endpoint)
    end = cases.restore(to, earlier)
    assert apps(end) == {"calm", "busy"} and end.digests["app.calm"].items == 30


def test_the_dump_counts_without_looking_at_documents(backed_up):
    source, _, _, _ = backed_up
    _, end = cases.take(source)
    counted = {name: count for name, count in end.counts.items() if name.startswith("app.")}
    assert counted == {"app.calm": 30, "app.renamed": 30}
    assert {name for name in end.digests if name.startswith("app.")} == {
        f"app.{name}#{what}" for name in ("calm", "renamed") for what in ("indexes", "options")
    }


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 99, 100, 101, 999, 1000, 1001, 12345])
def test_an_array_tells_how_many_elements_it_has_by_its_size(count):
    documents = [bson.encode({"n": n}) for n in range(count)]
    reply = bson.encode({"cursor": {"firstBatch": [bson.decode(d) for d in documents], "id": bson.Int64(0), "ns": "a.b"}, "ok": 1})
    found = raw.batch(memoryview(reply))
    assert found is not None and (found.items, found.documents) == (count, b"".join(documents))
    assert found.walk(_made, 5).sum == sum(_made(memoryview(d), 5) for d in documents)


def test_an_array_with_other_keys_is_refused():
    cursor = bson.encode({"firstBatch": {"0": {}, "longer": {}}, "id": bson.Int64(0), "ns": "a.b"})
    kind = cursor.index(b"\x03firstBatch")
    reply = bson.encode({"cursor": bson.raw_bson.RawBSONDocument(cursor[:kind] + b"\x04" + cursor[kind + 1 :]), "ok": 1})
    found = raw.batch(memoryview(reply))
    assert found is not None
    for asked in (lambda: found.items, lambda: found.documents, lambda: found.walk(_made, 5)):
        with pytest.raises(errors.StoreError, match="not numbered"):
            asked()


def _made(view, seed):
    return int.from_bytes(hashlib.md5(view).digest()) ^ seed


_DOCUMENTS = st.lists(
    st.one_of(
        st.just({}),
        st.builds(lambda name: {name: None}, st.sampled_from(["", "a", "_i", "_id"])),
        st.builds(lambda n, more: {"_id": n, **more}, st.integers(0, 9), st.dictionaries(st.sampled_from("abc"), st.binary(max_size=300))),
        st.builds(lambda n: {"_id": {"_id": n}}, st.integers(0, 9)),
    ),
    max_size=130,
)


@given(_DOCUMENTS)
def test_a_walk_sees_each_document_where_it_lies_in_a_block_and_in_a_batch(documents):
    encoded = [bson.encode(d) for d in documents]
    seen = raw.walk(b"".join(encoded), _made, 5)
    assert seen.ends == list(accumulate(map(len, encoded)))
    assert seen.id_first == all("_id" in d for d in documents)
    assert seen.sum == sum(_made(d, 5) for d in encoded)
    found = raw.batch(memoryview(bson.encode({"cursor": {"nextBatch": documents, "id": bson.Int64(0), "ns": "a.b"}, "ok": 1})))
    assert found is not None
    of_batch = found.walk(_made, 5)
    assert (of_batch.sum, of_batch.id_first, len(of_batch.ends)) == (seen.sum, seen.id_first, len(documents))


@given(_DOCUMENTS.filter(bool), st.data())
def test_a_walk_over_what_is_cut_off_or_has_a_wrong_size_is_refused(documents, data):
    encoded = [bson.encode(d) for d in documents]
    block = b"".join(encoded)
    ends = {0, *accumulate(map(len, encoded))}
    cut = data.draw(st.integers(0, len(block) - 1).filter(lambda at: at not in ends))
    at = data.draw(st.sampled_from(sorted(ends - {len(block)})))
    wrong = block[:at] + (len(block) + data.draw(st.integers(1, 99))).to_bytes(4, "little") + block[at + 4 :]
    for damaged in (block[:cut], wrong, block + b"\0"):
        with pytest.raises(errors.IntegrityError, match="not a sequence"):
            raw.walk(damaged, _made, 0)


@pytest.mark.parametrize("block", [b"\1", b"\5\0\0\0", bson.encode({}) + b"\1\0\0", b"\4\0\0\0\0", b"\xff\xff\xff\xff\0", b"\6\0\0\0\0"])
def test_what_is_no_sequence_of_documents_is_refused(block):
    with pytest.raises(errors.IntegrityError, match="not a sequence"):
        raw.split(block)
    with pytest.raises(errors.IntegrityError, match="not a sequence"):
        raw.walk(block, _made, 0)


def test_users_are_compared_unless_the_target_has_some_of_its_own(pair):
    source, to = pair
    with cases.client(source.endpoint) as client, cases.client(to.endpoint) as there:
        client.app.command("createUser", "ada", pwd="secret", roles=["read"])
        parts, _ = cases.take(source)
        assert "admin.system.users" in cases.restore(to, parts).compared
        cases.empty(to.endpoint)
        there.app.command("createUser", "admin", pwd="secret", roles=["read"])
        assert "admin.system.users" not in cases.restore(to, parts).compared
        assert {user["user"] for user in there.admin["system.users"].find()} == {"ada", "admin"}


def test_tallies_go_into_notes_and_come_back():
    seed, block = fingerprint.draw_seed(), bson.encode({"a": 1}) + bson.encode({"b": 2})
    tally = contents.Tally(content=fingerprint.Fingerprint(seed))
    tally.loaded(block)
    again = contents.Tally.read(bson.decode(bson.encode(tally.told())), seed)
    assert again == tally
    again.loaded(block)
    tally.loaded(block)
    assert again == tally and tally.documents == tally.content.items == 4


def _of(documents, seed=1):
    found = fingerprint.Fingerprint(seed)
    found.add(b"".join(bson.encode({"content": each}) for each in documents))
    return found


@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=20), st.data())
def test_a_fingerprint_is_of_all_documents_in_any_order_and_of_none_that_is_another(documents, data):
    whole, shuffled = _of(documents), data.draw(st.permutations(documents))
    cut = data.draw(st.integers(0, len(documents)))
    parts = _of(shuffled[:cut])
    parts.merge(_of(shuffled[cut:]))
    assert _of(shuffled) == parts == whole
    one, *others = shuffled
    at, bit = data.draw(st.integers(0, len(one) - 1)), data.draw(st.integers(0, 7))
    flipped = one[:at] + bytes([one[at] ^ 1 << bit]) + one[at + 1 :]
    for different in (others, [*shuffled, one], [*others, flipped], [*others, one[:-1]], [*others, b""]):
        assert _of(different) != whole


def test_a_fingerprint_under_another_seed_is_another():
    documents = [b"one", b"two"]
    assert _of(documents, 1).sum != _of(documents, 2).sum
    assert fingerprint.draw_seed() != fingerprint.draw_seed()
