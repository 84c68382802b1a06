"""Incremental backups: a chain of them restores what the source held, byte for byte, and costs what was touched."""

import os
import random

import bson
import mongodb_cases as cases
import pytest

from drplatform.model import errors
from drplatform.stores.mongodb import increment

ROUNDS = 4


def _seed() -> int:
    return int(os.environ.get("DRPLATFORM_TEST_SEED") or random.SystemRandom().randrange(2**32))


def _check(pair, seed, monkeypatch, rounds=ROUNDS):
    """Random histories with increments taken amid them: after each, and at random positions of the log after it, source and target agree."""
    print(f"seed {seed}")
    generator = random.Random(seed)
    source, target = pair
    cases.in_small_batches(monkeypatch)
    monkeypatch.setattr(increment, "BLOCK_BYTES", 700)
    monkeypatch.setattr(increment, "_IDS_A_PART", 7)
    monkeypatch.setattr(increment, "_IDS_A_READ", 3)
    work = cases.Workload(source.endpoint, generator)
    work.prepare()
    amid = lambda: [work.step() for _ in range(generator.randrange(3))]  # noqa: E731
    full, end = cases.take(source, amid)
    taken, moments = [], []
    with cases.captured(source, end.end) as batches:
        for _ in range(rounds):
            for _ in range(30):
                work.step()
            parts, end = cases.take(source, amid, since=end.end)
            taken.append(parts)
            moments.append((len(taken), end, end.end, cases.everything(source.endpoint)))
            for _ in range(10):
                work.step()
            moments.append((len(taken), None, source.position(), cases.everything(source.endpoint)))
    work.close()
    blocks = [batch.block for batch in batches]
    for count, end, position, expected in moments:
        cases.empty(target.endpoint)
        reached = cases.restore(target, full, blocks, position, taken[:count])
        differing = cases.differences(expected, cases.everything(target.endpoint))
        assert not differing, f"seed {seed}, {count} increments and the log to {position}: {differing}"
        if end:
            assert {name: reached.digests.get(name) for name in end.digests} == dict(end.digests)


def test_a_chain_of_increments_and_the_log_is_what_the_source_held(pair, monkeypatch):
    _check(pair, _seed(), monkeypatch)


def test_collections_with_too_many_touched_documents_are_followed_operation_by_operation(pair, monkeypatch):
    monkeypatch.setattr(increment, "MOST_TOUCHED", 20)
    _check(pair, _seed(), monkeypatch, rounds=2)


@pytest.mark.soak
@pytest.mark.parametrize("round_", range(25))
def test_many_chains_of_increments(pair, monkeypatch, round_):
    monkeypatch.setattr(increment, "MOST_TOUCHED", random.Random(round_).choice([1, 15, 10**6]))
    _check(pair, _seed() + round_, monkeypatch)


@pytest.fixture
def database(pair):
    with cases.client(pair[0].endpoint) as client:
        yield client.app


def _size(parts):
    return sum(len(block) for _, _, blocks in parts for block in blocks)


def test_hot_documents_are_kept_once(database, pair):
    source, target = pair
    database.hot.insert_many([{"_id": n, "n": 0, "x": "y" * 200} for n in range(200)])
    full, end = cases.take(source)
    for _ in range(20):
        database.hot.update_many({"_id": {"$lt": 50}}, {"$inc": {"n": 1}})
    taken, after = cases.take(source, since=end.end)
    assert dict(after.counts) == {"touched app.hot": 50}
    assert after.begin == end.end
    assert _size(taken) < 50 * 350 + 5000 < 20 * 50 * 100, "1000 operations, 50 documents"
    cases.restore(target, full, increments=[taken])
    assert cases.differences(cases.everything(source.endpoint), cases.everything(target.endpoint)) == []


def test_nothing_happened(database, pair):
    source, target = pair
    database.calm.insert_many([{"_id": n} for n in range(5)])
    full, end = cases.take(source)
    taken, after = cases.take(source, since=end.end)
    reached = cases.restore(target, full, increments=[taken])
    assert reached.counts["app.calm"] == 5 and not after.counts


def test_identities_that_are_equal_but_not_the_same(database, pair):
    """1 and 1.0, and with a collation "a" and "A", are one `_id` at a time, in different bytes."""
    source, target = pair
    database.create_collection("collated", collation={"locale": "en", "strength": 2})
    database.numbers.insert_many([{"_id": n} for n in range(5)])
    database.collated.insert_many([{"_id": "a"}, {"_id": "b"}])
    full, end = cases.take(source)
    for number in range(4):
        database.numbers.delete_one({"_id": number})
    database.numbers.insert_many([{"_id": float(number)} for number in range(3)])
    database.numbers.delete_one({"_id": 0})
    database.numbers.insert_one({"_id": bson.Decimal128("0")})
    database.numbers.replace_one({"_id": 4}, {"_id": bson.Int64(4), "replaced": 1})
    assert isinstance(database.numbers.find_one({"_id": 4})["_id"], bson.Int64)
    database.collated.delete_one({"_id": "a"})
    database.collated.insert_one({"_id": "A", "now": 1})
    taken, _ = cases.take(source, since=end.end)
    cases.restore(target, full, increments=[taken])
    assert cases.differences(cases.everything(source.endpoint), cases.everything(target.endpoint)) == []


def test_a_transaction_that_began_before_the_last_backup_and_ends_in_the_window(database, pair):
    """Over 16 MiB, so that its first entries are in the oplog before its last."""
    source, target = pair
    database.large.insert_one({"_id": "before"})
    with database.client.start_session() as session:
        session.start_transaction()
        for number in range(3):
            database.large.insert_one({"_id": number, "x": "y" * 7_000_000}, session=session)
        full, end = cases.take(source)
        database.large.insert_one({"_id": "between"})
        session.commit_transaction()
    taken, _ = cases.take(source, since=end.end)
    cases.restore(target, full, increments=[taken])
    assert cases.differences(cases.everything(source.endpoint), cases.everything(target.endpoint)) == []


def test_an_increment_after_another_than_its_own_backup_is_refused(database, pair):
    source, target = pair
    database.a.insert_one({"_id": 1})
    full, end = cases.take(source)
    database.a.insert_one({"_id": 2})
    first, end = cases.take(source, since=end.end)
    database.a.insert_one({"_id": 3})
    second, _ = cases.take(source, since=end.end)
    with pytest.raises(errors.RecoveryFailed, match="a backup between them is missing"):
        cases.restore(target, full, increments=[second])
    cases.empty(target.endpoint)
    assert cases.restore(target, full, increments=[first, second]).counts["app.a"] == 3


def test_an_oplog_that_does_not_reach_back_is_a_gap(database, pair):
    source, _ = pair
    database.a.insert_one({"_id": 1})
    position = source.position()
    never = type(position)(position.timeline, (position.sequence[0] - 10**6, 1), position.at)
    with pytest.raises(errors.LogGap, match="take a full backup"):
        cases.take(source, since=never)
    other = type(position)("another", position.sequence, position.at)
    with pytest.raises(errors.LogGap, match="take a full backup"):
        cases.take(source, since=other)
