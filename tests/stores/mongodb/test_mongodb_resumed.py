"""A restore that is cut off anywhere, also within a batch of the log or a change of collections, and gone on with, ends where an uncut one does."""

import os
import random

import bson
import mongodb_cases as cases
import pytest

from drplatform.model import errors
from drplatform.model.backup import BackupKind
from drplatform.stores.mongodb import lease as leases
from drplatform.stores.mongodb import target

PLAN = "the plan"


class Cut(Exception):
    """The restore is cut off here."""


class Cutting:
    """Ends a restore at the n-th thing that it sends, of which only a beginning arrives."""

    def __init__(self, monkeypatch, generator):
        self.left, self.random, self.stage = None, generator, ""
        self._apply, self._call = target.Target._apply, target.Target.call
        monkeypatch.setattr(target.Target, "_apply", lambda to, operations: self.apply(to, operations))
        monkeypatch.setattr(target.Target, "call", lambda to, database, command: self.call(to, database, command))

    def _is_now(self):
        if self.left is not None:
            self.left -= 1
        return self.left == 0

    def apply(self, to, operations):
        if self._is_now():
            beginning = operations[: self.random.randrange(len(operations) + 1)]
            if beginning:
                self._apply(to, beginning)
            raise Cut
        return self._apply(to, operations)

    def call(self, to, database, command):
        if self._is_now():
            if self.random.random() < 0.5:
                self._call(to, database, command)
            raise Cut
        return self._call(to, database, command)


@pytest.fixture
def generator(monkeypatch):
    seed = int(os.environ.get("DRPLATFORM_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"seed {seed}")
    monkeypatch.setattr(leases, "_STILL_SECONDS", 0.0)
    return random.Random(seed)


def restore(store, parts, blocks, again=False, increments=(), loads=None):
    """As the engine does it. The stage in which it found an earlier attempt, and its end."""
    with store.resume(PLAN, again) as restoring:
        found = restoring._lease.found
        if not restoring.settled:
            for kind, backup in ((BackupKind.FULL, parts), *((BackupKind.INCREMENTAL, each) for each in increments)):
                for name, _, content in sorted(backup, key=lambda part: part[1]):
                    left = content[restoring.done(name) if kind is BackupKind.FULL else 0 :]
                    if left:
                        restoring.load(kind, name, iter(left))
                        if loads is not None:
                            loads.append(name)
        restoring.loaded()
        restoring.replay(iter(blocks), None)
        return found, restoring.finish()


def until_done(store, parts, blocks, cutting, increments=()):
    """Cut off and gone on with until it ends. The stages that attempts were found in; empty for one that began anew."""
    stages, again = [], False
    while True:
        cutting.left = int(cutting.random.expovariate(1 / 25)) + 1 if len(stages) < 6 else None
        try:
            found, _ = restore(store, parts, blocks, again, increments)
            return [*stages, found]
        except Cut:
            again = True
        except errors.RecoveryFailed as error:
            assert "begins anew" in str(error)
        with cases.client(store.endpoint) as client:
            stages.append(client.drplatform.restoring.find_one({"_id": "restore"})["stage"])


def check(pair, generator, monkeypatch, rounds):
    source, to = pair
    cases.in_small_batches(monkeypatch)
    monkeypatch.setattr(target, "_BATCH_OPERATIONS", 12)
    work = cases.Workload(source.endpoint, generator)
    work.prepare()
    amid = lambda: [work.step() for _ in range(generator.randrange(2))]  # noqa: E731
    parts, end = cases.take(source, amid)
    with cases.captured(source, end.end) as batches:
        for _ in range(120):
            work.step()
    expected = cases.everything(source.endpoint)
    work.close()
    cutting, seen = Cutting(monkeypatch, generator), []
    for _ in range(rounds):
        cases.empty(to.endpoint)
        stages = until_done(to, parts, [batch.block for batch in batches], cutting)
        seen += stages[:-1]
        differing = cases.differences(expected, cases.everything(to.endpoint))
        assert not differing, f"cut off in {stages}: {differing}"
    print(f"cut off in {seen}")
    assert seen, "it was never cut off"


def test_a_restore_cut_off_anywhere_ends_where_an_uncut_one_does(pair, generator, monkeypatch):
    check(pair, generator, monkeypatch, 4)


@pytest.mark.soak
@pytest.mark.parametrize("round_", range(10))
def test_many_restores_cut_off_anywhere(pair, generator, monkeypatch, round_):
    check(pair, generator, monkeypatch, 12)


@pytest.fixture
def backed_up(pair):
    """A full backup and a log of plain operations."""
    source, to = pair
    with cases.client(source.endpoint) as client:
        client.app.orders.insert_many([{"_id": n, "x": n} for n in range(100)])
        client.app.orders.create_index("x", unique=True)
        client.app.orders.create_index([("wild.$**", 1)])
        with client.start_session() as session, session.start_transaction():
            client.app.orders.insert_one({"_id": "t"}, session=session)
            parts, end = cases.take(source, lambda: client.app.orders.update_one({"_id": 1}, {"$inc": {"n": 1}}))
        with cases.captured(source, end.end) as batches:
            for n in range(60):
                client.app.orders.update_one({"_id": n}, {"$set": {"x": 1000 + n}})
            client.app.orders.create_index("n")
            client.app.orders.delete_many({"_id": {"$lt": 10}})
    return source, to, parts, [batch.block for batch in batches]


@pytest.mark.parametrize("stage", [leases.SETTLING, leases.INDEXING, leases.REPLAYING])
def test_what_was_loaded_is_not_loaded_again(backed_up, monkeypatch, generator, stage):
    source, to, parts, blocks = backed_up
    with monkeypatch.context() as patch, pytest.raises(Cut):
        patch.setattr(target, "_BATCH_OPERATIONS", 12)
        cut_in(patch, stage)
        restore(to, parts, blocks)
    loads = []
    found, _ = restore(to, parts, blocks, again=True, loads=loads)
    assert found == stage
    assert loads == (["catalogue", "oplog"] if stage == leases.SETTLING else [])
    assert cases.everything(to.endpoint) == cases.everything(source.endpoint)
    assert dict(to.digest()) == dict(source.digest()) and to.unfinished() == ""


def cut_in(patch, stage):
    """Cut off when it is in this stage: at the third batch that it sends, or the first index."""
    entered, sent = [], []
    enter, apply, build = leases.Lease.enter, target.Target._apply, target.Target.build

    def noting(self, name, **notes):
        enter(self, name, **notes)
        entered.append(name)

    def applying(self, operations):
        if entered and entered[-1] == stage:
            sent.append(1)
            if len(sent) == 3 or stage == leases.SETTLING:
                apply(self, operations[:1])
                raise Cut
        return apply(self, operations)

    def building(self, namespace, indexes):
        if stage == leases.INDEXING:
            build(self, namespace, indexes[:1])
            raise Cut
        build(self, namespace, indexes)

    patch.setattr(leases.Lease, "enter", noting)
    patch.setattr(target.Target, "_apply", applying)
    patch.setattr(target.Target, "build", building)


def test_a_unique_value_that_moved_on_within_what_was_cut_off_begins_anew(backed_up, monkeypatch, generator):
    """Applied a second time, the first of two operations meets what the second has made: that is said, and never passed over."""
    source, to, parts, _ = backed_up
    with cases.client(source.endpoint) as client:
        parts, end = cases.take(source)
        with cases.captured(source, end.end) as batches:
            client.app.orders.update_one({"_id": 50}, {"$set": {"x": 5}})
            client.app.orders.update_one({"_id": 50}, {"$set": {"x": 6}})
            client.app.orders.update_one({"_id": 51}, {"$set": {"x": 5}})
    blocks = [batch.block for batch in batches]

    def sent_and_cut_off(self, operations):
        answer = apply(self, operations)
        if any(b"app.orders" in bytes(each) for each in operations) and self.before.__name__ == "_announce":
            raise Cut
        return answer

    apply = target.Target._apply
    with monkeypatch.context() as patch, pytest.raises(Cut):
        patch.setattr(target.Target, "_apply", sent_and_cut_off)
        restore(to, parts, blocks)
    with pytest.raises(errors.RecoveryFailed, match="begins anew"):
        restore(to, parts, blocks, again=True)
    found, _ = restore(to, parts, blocks, again=True)
    assert found == ""
    assert cases.everything(to.endpoint) == cases.everything(source.endpoint)


def test_capped_collections_are_begun_anew(pair, monkeypatch, generator):
    source, to = pair
    with cases.client(source.endpoint) as client:
        client.app.create_collection("log", capped=True, size=8192, max=5)
        parts, end = cases.take(source)
        with cases.captured(source, end.end) as batches:
            client.app.log.insert_many([{"_id": bson.ObjectId()} for _ in range(12)])
    blocks = [batch.block for batch in batches]
    apply = target.Target._apply

    def cut(self, operations):
        if any(b"app.log" in bytes(each) for each in operations):
            apply(self, operations[:7])
            raise Cut
        return apply(self, operations)

    with monkeypatch.context() as patch, pytest.raises(Cut):
        patch.setattr(target.Target, "_apply", cut)
        restore(to, parts, blocks)
    found, _ = restore(to, parts, blocks, again=True)
    assert found == ""
    assert cases.everything(to.endpoint) == cases.everything(source.endpoint)
