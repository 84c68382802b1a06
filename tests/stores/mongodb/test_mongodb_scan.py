"""Collections that change while they are read: what is deleted and inserted again, renamed, dropped, and shared by several readers."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import bson
import mongodb_cases as cases
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    between, sought = scan._between, []
    monkeypatch.setattr(scan, "_between", lambda block, low, high: sought.append(low) or between(block, low, high))
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


@pytest.fixture
def stretched(database, monkeypatch):
    """Any collection is in as many stretches as may be."""
    monkeypatch.undo()
    monkeypatch.setattr(scan, "BLOCK_BYTES", 700)
    monkeypatch.setattr(scan, "PART_BYTES", 800)
    return database


CLUSTERED = {"clusteredIndex": {"key": {"_id": 1}, "unique": True}}
KINDS = pytest.mark.parametrize("options", [{}, CLUSTERED], ids=["ordinary", "clustered"])


@KINDS
def test_a_large_collection_is_read_in_stretches_at_the_same_time_each_document_once(stretched, pair, options):
    stretched.create_collection("things", **options)
    stretched.things.insert_many([{"_id": n, "x": FILLER} for n in random.Random(1).sample(range(500), 500)])
    with pair[0].dump() as dump, ThreadPoolExecutor(scan.MOST_PARTS) as readers:
        parts = [part for part in dump.parts() if part.name.startswith("data/app.")]
        assert len(parts) == scan.MOST_PARTS
        together = threading.Barrier(scan.MOST_PARTS)

        def read(part):
            together.wait(30)
            return [d for block in part.blocks() for d in raw.documents(block)]

        found = list(readers.map(read, parts))
    assert all(found), "a stretch without documents"
    assert sorted(raw.value(d, raw.fields(d)[b"_id"]) for documents in found for d in documents) == list(range(500))


@KINDS
def test_where_a_collection_is_cut_may_be_gone_when_it_is_read(stretched, pair, options, monkeypatch):
    """Places of any kind are cut at: documents that are deleted before, between and after the stretches are begun."""
    seed = random.randrange(10**6)
    print("seed", seed)
    generator = random.Random(seed)
    stretched.create_collection("things", **options)
    stretched.things.insert_many([{"_id": n, "x": FILLER} for n in range(300)])
    places, gone = scan.places, set()

    def then_deleted(connection, collection, stats):
        found = places(connection, collection, stats)
        if collection.namespace != "app.things":
            return found
        cut_at = [n for n in range(300) if generator.random() < 0.3]
        stretched.things.delete_many({"_id": {"$in": cut_at}})
        gone.update(cut_at)
        kept = bson.encode({"_id": cut_at[0]} if options else {"$recordId": bson.Int64(cut_at[0] + 1)})
        return tuple(sorted({*found, kept}, key=lambda place: next(iter(bson.decode(place).values()))))

    monkeypatch.setattr(scan, "places", then_deleted)
    parts, end = cases.take(pair[0])
    assert gone
    assert sorted(ids(parts)) == sorted(set(range(300)) - gone)
    same(pair, parts, end)


@pytest.mark.parametrize(
    ("gone", "sampled"),
    [
        pytest.param(range(0), False, id="nothing"),
        pytest.param(range(100, 301, 100), False, id="those at the cuts"),
        pytest.param(range(190, 210), True, id="all about a cut"),
        pytest.param(range(0, 400, 3), True, id="a third"),
        pytest.param(range(100, 400), True, id="the end but for what came later"),
    ],
)
def test_a_collection_with_few_gaps_is_cut_by_counting(stretched, pair, gone, sampled, monkeypatch):
    monkeypatch.setattr(scan, "PART_BYTES", 100)
    stretched.things.insert_many([{"_id": n, "x": FILLER} for n in range(401)])
    stretched.things.insert_many(
        [{"_id": n, "x": FILLER} for n in range(401, 500)] if gone == range(100, 400) else [{"_id": 401, "x": FILLER}]
    )
    stretched.things.delete_many({"_id": {"$in": list(gone)}})
    exchange, samples = wire.Wire.exchange, []

    def watched(self, database, command, *beside):
        samples.extend([command["aggregate"]] if "aggregate" in command and database == "app" else [])
        return exchange(self, database, command, *beside)

    monkeypatch.setattr(wire.Wire, "exchange", watched)
    tokens, token = [], scan._token
    monkeypatch.setattr(scan, "_token", lambda place: tokens.append(place) or token(place))
    parts, end = cases.take(pair[0])
    assert gone != range(100, 301, 100) or {101, 201, 301} < set(tokens), "places that are free were looked at"
    stretches = [len(list(raw.documents(b"".join(blocks)))) for name, _, blocks in parts if name.startswith("data/app.")]
    assert samples == (["things"] if sampled else [])
    assert len(stretches) == scan.MOST_PARTS and all(stretches)
    if not sampled:
        assert max(stretches) - min(stretches) < 2 * scan._TRIED, "equal parts"
    same(pair, parts, end)


def test_a_collection_that_the_server_takes_no_sample_of_is_read_in_one(stretched, pair, monkeypatch):
    stretched.things.insert_many([{"_id": n, "x": FILLER} for n in range(200)])
    stretched.things.delete_many({"_id": {"$gte": 50, "$lt": 150}})
    exchange = wire.Wire.exchange

    def refused(self, database, command, *beside):
        return exchange(self, database, {**command, "unheard of": 1} if "aggregate" in command else command, *beside)

    monkeypatch.setattr(wire.Wire, "exchange", refused)
    parts, end = cases.take(pair[0])
    assert len([name for name, _, _ in parts if name.startswith("data/app.")]) == 1
    same(pair, parts, end)


def test_a_stream_that_is_left_early_closes_its_connection_and_one_that_is_read_to_its_end_does_not(database, pair):
    database.things.insert_many([{"_id": n, "x": FILLER} for n in range(60)])
    with pair[0]._members.primary() as connection:
        assert sum(len(list(raw.documents(batch.documents))) for batch in connection.stream("app", {"find": "things"}, 7)) == 60
        stream = connection.stream("app", {"find": "things"}, 7)
        next(stream)
        stream.close()
        with pytest.raises(wire.ConnectionLost):
            connection.call("admin", {"ping": 1})


def test_a_stream_that_is_asked_for_each_batch_leaves_no_cursor_and_its_connection_as_it_was(database, pair):
    database.things.insert_many([{"_id": n, "x": FILLER} for n in range(60)])
    with pair[0]._members.primary() as connection:
        stream = connection.stream("app", {"find": "things"}, 7, lambda batch: 3)
        assert [next(stream).items, next(stream).items] == [7, 3]
        cursors = lambda: database.command("serverStatus")["metrics"]["cursor"]["open"]["total"]  # noqa: E731
        before = cursors()
        stream.close()
        assert cursors() == before - 1
        assert connection.call("admin", {"ping": 1})["ok"] == 1


def test_of_a_collection_without_gaps_nothing_is_read_that_is_of_another_stretch(stretched, pair, monkeypatch):
    stretched.things.insert_many([{"_id": n, "x": FILLER} for n in range(500)])
    (listed,) = stretched.list_collections(filter={"name": "things"})
    stream, read = wire.Wire.stream, []

    def counted(self, database, command, *how):
        for batch in stream(self, database, command, *how):
            read.append(batch.items if command["find"] == listed["info"]["uuid"] else 0)
            yield batch

    monkeypatch.setattr(wire.Wire, "stream", counted)
    parts, end = cases.take(pair[0])
    assert len([name for name, _, _ in parts if name.startswith("data/app.")]) == scan.MOST_PARTS
    assert sum(read) == 500 == len(ids(parts))
    same(pair, parts, end)


@given(st.lists(st.binary(max_size=40), max_size=12))
def test_what_is_sent_is_whole_whatever_its_pieces_and_large_ones_are_not_copied(pieces):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "_LARGE", 20)
        sent = list(wire._messages(pieces))
    assert b"".join(sent) == b"".join(pieces)
    assert all(any(piece is each for each in sent) for piece in pieces if len(piece) >= 20)
