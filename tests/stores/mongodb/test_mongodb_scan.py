"""Collections that change while they are read: what is deleted and inserted again, renamed, dropped, and shared by several readers."""

import threading
from concurrent.futures import ThreadPoolExecutor

import mongodb_cases as cases
import pytest

from drplatform.model import errors
from drplatform.stores.mongodb import raw, scan, wire

FILLER = "y" * 90


@pytest.fixture
def database(pair, monkeypatch):
    cases.in_small_batches(monkeypatch)
    with cases.client(pair[0].endpoint) as client:
        yield client.app


def ids(parts):
    """Of all documents of a dump, as they come."""
    blocks = (block for name, _, blocks in parts if name.startswith("data/app.") for block in blocks)
    return [raw.value(document, raw.fields(document)[b"_id"]) for block in blocks for document in raw.documents(block)]


def after_a_block(act, number=3):
    """What `cases.take` calls between blocks: acts once, when so many were read (the catalogue is one)."""
    calls = iter(range(10**6))
    return lambda: act() if next(calls) == number + 2 else None


def same(pair, parts, end):
    reached = cases.restore(pair[1], parts)
    assert cases.differences(cases.everything(pair[0].endpoint), cases.everything(pair[1].endpoint)) == []
    cases.require_found(end, reached)


def test_what_is_deleted_and_inserted_again_is_read_twice_and_restored_once(database, pair):
    database.things.insert_many([{"_id": n, "x": FILLER} for n in range(60)])

    def again():
        database.things.delete_many({"_id": {"$lt": 5}})
        database.things.insert_many([{"_id": n, "x": "new"} for n in (3, 2, 1.0)])

    parts, end = cases.take(pair[0], after_a_block(again))
    assert sorted(ids(parts)).count(2) == 2
    same(pair, parts, end)


def test_a_document_that_is_there_twice_for_no_reason_is_an_error(database, pair):
    """A log that inserts less often than documents are there twice does not explain it, also where the dump does not say what it read."""
    database.things.insert_many([{"_id": n, "x": FILLER} for n in range(60)])
    parts, _ = cases.take(pair[0], after_a_block(lambda: database.things.insert_one({"_id": "one"})))
    twice = [(name, stage, [*blocks, blocks[0]] if name.startswith("data/app.") else blocks) for name, stage, blocks in parts]
    with pytest.raises(errors.RecoveryFailed, match="holds it twice"):
        cases.restore(pair[1], cases.of_an_earlier_version(twice))


@pytest.mark.parametrize("last_is_gone", [False, True])
@pytest.mark.parametrize("options", [{}, {"clusteredIndex": {"key": {"_id": 1}, "unique": True}}], ids=["ordinary", "clustered"])
def test_a_collection_renamed_while_it_is_read_is_read_on(database, pair, options, last_is_gone, monkeypatch):
    """Also when the document read last is deleted before: its place is not found again."""
    beyond, sought = scan._beyond, []
    monkeypatch.setattr(scan, "_beyond", lambda block, token: sought.append(token) or beyond(block, token))
    database.create_collection("things", **options)
    database.things.insert_many([{"_id": n, "x": FILLER} for n in range(60)])
    read = []

    def rename():
        database.things.delete_many({"_id": {"$in": list(range(40)) if last_is_gone else [1]}})
        database.things.rename("others")
        read.append(True)

    parts, end = cases.take(pair[0], after_a_block(rename))
    assert read
    assert bool(sought) == (last_is_gone and not options)
    assert [n for n in ids(parts) if n >= 40] == list(range(40, 60))
    assert len(ids(parts)) == len(set(ids(parts)))
    same(pair, parts, end)


def test_a_collection_dropped_while_it_is_read_has_ended(database, pair):
    database.things.insert_many([{"_id": n, "x": FILLER} for n in range(60)])
    parts, end = cases.take(pair[0], after_a_block(database.things.drop))
    assert 0 < len(ids(parts)) < 60
    same(pair, parts, end)


def test_several_readers_share_a_collection_and_none_gets_what_another_has(database, pair, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(scan, "BLOCK_BYTES", 700)
    monkeypatch.setattr(scan, "PART_BYTES", 800)
    database.things.insert_many([{"_id": n, "x": FILLER} for n in range(500)])
    with pair[0].dump() as dump, ThreadPoolExecutor(scan.MOST_PARTS) as readers:
        parts = [part for part in dump.parts() if part.name.startswith("data/app.")]
        assert len(parts) == scan.MOST_PARTS
        together = threading.Barrier(scan.MOST_PARTS)

        def read(part):
            together.wait()
            return list(part.blocks())

        found = [d for blocks in readers.map(read, parts) for block in blocks for d in raw.documents(block)]
    assert len(found) == 500
    assert len({raw.id_of(document) for document in found}) == 500


def test_a_stream_that_is_left_early_closes_its_connection_and_one_that_is_read_to_its_end_does_not(database, pair):
    database.things.insert_many([{"_id": n, "x": FILLER} for n in range(60)])
    with pair[0]._members.primary() as connection:
        assert sum(len(list(raw.documents(batch.documents))) for batch in connection.stream("app", {"find": "things"}, 7)) == 60
        stream = connection.stream("app", {"find": "things"}, 7)
        next(stream)
        stream.close()
        with pytest.raises(wire.ConnectionLost):
            connection.call("admin", {"ping": 1})
