"""Entries of the log that are linked in chains, also in the forms that releases write which the tests' server is not of."""

import random

import bson
import mongodb_cases as cases
import pytest
from bson.timestamp import Timestamp

from drplatform.model import errors
from drplatform.stores.mongodb import members, oplog, raw
from drplatform.stores.mongodb.oplog import Entry
from drplatform.stores.mongodb.transactions import Assembly

SESSION = {"lsid": {"id": bson.Binary(b"s" * 16, 4), "uid": b"u" * 32}, "txnNumber": bson.Int64(1)}
KEPT = (b"op", b"ns", b"ui", b"o", b"o2", b"stmtId")


def link(at):
    """To an entry at that time; 0: to none."""
    return {"ts": Timestamp(at, 1 if at else 0), "t": bson.Int64(1 if at else -1)}


def applied(at, after, *identities, within=None, **more):
    """An applyOps of insertions at that time, linked with the one at the other; `within` it more, `more` beside it."""
    operations = [{"op": "i", "ns": "app.things", "ui": bson.Binary(b"c" * 16, 4), "o": {"_id": each}} for each in identities]
    entry = {
        "op": "c",
        "ns": "admin.$cmd",
        "o": {"applyOps": operations, **(within or {})},
        "ts": Timestamp(at, 1),
        "prevOpTime": link(after),
    }
    return Entry(bson.encode({**entry, **more}))


def fed(*entries):
    """When each unit takes effect, and the `_id`s that it inserts."""
    assembly = Assembly()
    units = [unit for entry in entries for unit in assembly.feed(entry)]
    return [(unit.ts[0], [bson.decode(each.content(b"o"))["_id"] for each in unit.operations]) for unit in units], assembly.open


def test_insertions_in_several_steps_take_effect_step_by_step():
    steps = [applied(at, at - 1 if at > 1 else 0, at, at + 10, **SESSION, multiOpType=1) for at in (1, 2, 3)]
    assert fed(*steps) == ([(1, [1, 11]), (2, [2, 12]), (3, [3, 13])], [])
    assert fed(steps[1]) == ([(2, [2, 12])], [])
    assert Assembly().before(steps[1]) is None


def test_a_transaction_between_them_is_still_whole():
    other = {**SESSION, "lsid": {"id": bson.Binary(b"t" * 16, 4), "uid": b"u" * 32}}
    entries = [
        applied(1, 0, "a", **other, within={"partialTxn": True}),
        applied(2, 0, "x", **SESSION, multiOpType=1),
        applied(3, 2, "y", **SESSION, multiOpType=1),
        applied(4, 1, "b", **other),
    ]
    assert fed(*entries) == ([(2, ["x"]), (3, ["y"]), (4, ["a", "b"])], [])


def test_a_chain_without_a_session_takes_effect_with_its_last_entry():
    chain = [applied(at, at - 1 if at > 1 else 0, at, within={"partialTxn": True} if at < 3 else None) for at in (1, 2, 3)]
    assert fed(*chain) == ([(3, [1, 2, 3])], [])
    units, left = fed(*chain[:2])
    assert (units, len(left)) == ([], 2)
    again = Assembly()
    for session, operation in left:
        again.put(session, operation)
    assert [len(unit.operations) for unit in again.feed(chain[2])] == [3]


def test_two_such_chains_at_once_are_told_apart():
    first = [applied(1, 0, "a", within={"partialTxn": True}), applied(3, 1, "b")]
    second = [applied(2, 0, "x", within={"partialTxn": True}), applied(4, 2, "y")]
    assert fed(first[0], second[0], first[1], second[1]) == ([(3, ["a", "b"]), (4, ["x", "y"])], [])


def test_one_whose_beginning_is_missing_is_a_gap():
    end = applied(3, 2, "b")
    assert Assembly().before(end) == (2, 1)
    with pytest.raises(errors.LogGap, match="not its beginning"):
        fed(end)


def test_a_link_of_another_kind_is_refused_by_its_name():
    with pytest.raises(errors.RecoveryFailed, match=r"linked in a way \(2\) that this version does not know; use a newer one"):
        fed(applied(1, 0, "a", **SESSION, multiOpType=2))


# -- on a server --------------------------------------------------------------------------------------------------------------


def of_a_later_release(blocks, generator):
    """The log with insertions of one command as 8.0 writes them, and deletions as 7.0 does what it deletes in one step."""
    for block in blocks:
        frame, *found = map(Entry, raw.documents(block))
        after, until = ((each.time, each.inc) for each in (frame.value(b"after"), frame.value(b"until")))
        yield oplog.framed(frame.value(b"set"), after, until, [each.raw for each in regrouped(found, generator)])


def regrouped(entries, generator):
    waiting = []
    for entry in entries:
        if waiting and kind(entry) != kind(waiting[0]):
            yield from linked(waiting, generator)
            waiting = []
        if kind(entry) is None:
            yield entry
        else:
            waiting.append(entry)
    yield from linked(waiting, generator)


def kind(entry):
    if entry.op == "i" and entry.transaction:
        return entry.transaction
    return "deletions" if entry.op == "d" and not entry.transaction else None


def linked(entries, generator):
    """As few entries, each of some of these, at the time of the last of them."""
    latest = 0, 0
    while entries:
        size = generator.randint(1, 4)
        some, entries = entries[:size], entries[size:]
        before, latest = latest, some[-1].ts
        insertions = some[0].op == "i"
        within = [raw.array(b"applyOps", [raw.assemble(each.element(name) for name in KEPT) for each in some])]
        if entries and not insertions:
            within.append(raw.elements({"partialTxn": True}))
        beside = [some[-1].element(name) for name in (b"lsid", b"txnNumber", b"ts", b"t", b"v", b"wall")]
        told = {"prevOpTime": {"ts": Timestamp(*before), "t": bson.Int64(1)}, **({"multiOpType": 1} if insertions else {})}
        named = [raw.string(b"op", "c"), raw.string(b"ns", "admin.$cmd"), b"\x03o\0" + raw.assemble(within)]
        yield Entry(raw.assemble([*named, *beside, raw.elements(told)]))


@pytest.fixture
def history(pair):
    """A dump, its end, and the log after it: many insertions and deletions of one command each, and what the source held after each."""
    source, _ = pair
    with cases.client(source.endpoint) as client:
        things = client.app.things
        things.insert_many([{"_id": n} for n in range(30)])
        parts, end = cases.take(source)
        moments = []
        with cases.captured(source, end.end) as batches:
            for change in (
                lambda: things.insert_many([{"_id": n, "text": "x" * n} for n in range(100, 140)]),
                lambda: things.delete_many({"_id": {"$lt": 20}}),
                lambda: things.update_many({}, {"$inc": {"n": 1}}),
                lambda: things.insert_many([{"_id": n} for n in range(20)]),
                lambda: things.delete_many({}),
                lambda: things.insert_many([{"_id": n} for n in range(300, 320)]),
            ):
                change()
                moments.append((source.position(), cases.everything(source.endpoint)))
    return parts, [batch.block for batch in batches], moments


def test_the_log_of_a_later_release_is_applied_to_what_the_source_held(pair, history):
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    target, (parts, blocks, moments) = pair[1], history
    later = list(of_a_later_release(blocks, random.Random(seed)))
    assert sum(each.value(b"multiOpType") == 1 and each.previous is not None for each in entries(later)) >= 3
    assert any(is_partial(each) for each in entries(later))
    for position, expected in moments:
        cases.empty(target.endpoint)
        assert cases.restore(target, parts, later, position).reached == position
        assert cases.differences(expected, cases.everything(target.endpoint)) == []


def test_deletions_that_are_one_step_are_there_whole_or_not_at_all(pair, history):
    target, (parts, blocks, moments) = pair[1], history
    later = list(of_a_later_release(blocks, random.Random(1)))
    (before, expected), (after, _) = moments[3:5]
    within = next(each.ts for each in entries(later) if is_partial(each) and members.stamp(before) < each.ts < members.stamp(after))
    cases.restore(target, parts, later, members.at(before.timeline, within))
    assert cases.differences(expected, cases.everything(target.endpoint)) == []


def entries(blocks):
    return [entry for block in blocks for entry in map(Entry, raw.documents(block)) if not entry.framing]


def is_partial(entry):
    return entry.op == "c" and bool(entry.command.get("partialTxn"))
