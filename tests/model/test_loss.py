"""Losing exactly k acknowledged writes reports exactly k; whatever else is wrong is named; bounds contain the truth."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drplatform.model import ledger, loss
from drplatform.model.clock import Interval
from drplatform.model.errors import IntegrityError
from drplatform.model.ledger import Entry, Mark, Outcome

STORE = "mongodb"


def mark(number, client="c1"):
    return Mark(client, number, ledger.digest(ledger.payload(client, number, 1)))


def entry(number, outcome=Outcome.ACKED, client="c1", store=STORE):
    return Entry(store, mark(number, client), float(number), number + 0.5, outcome)


@pytest.fixture
def entries():
    return [entry(n, client=c) for c in ("c1", "c2") for n in range(1, 101)]


@pytest.mark.parametrize("k", [0, 1, 7])
def test_losing_exactly_k_acknowledged_writes_reports_exactly_k(entries, k):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    gone = random.Random(seed).sample([e.mark for e in entries], k)
    found = loss.compare(STORE, entries, [e.mark for e in entries if e.mark not in gone])
    assert len(found.lost) == k
    assert set(found.lost) == set(gone)
    assert not found.corrupt


def test_a_phantom_is_named(entries):
    stranger = Mark("c9", 1, "0" * 64)
    found = loss.compare(STORE, entries, [*(e.mark for e in entries), stranger])
    assert found.phantom == (stranger,)
    assert found.corrupt


def test_a_refused_write_that_is_there_is_a_phantom():
    found = loss.compare(STORE, [entry(1), entry(2, Outcome.FAILED)], [mark(1), mark(2)])
    assert found.phantom == (mark(2),)


def test_a_mutated_write_is_named_and_not_lost(entries):
    changed = Mark("c1", 5, "f" * 64)
    found = loss.compare(STORE, entries, [e.mark if e.mark != mark(5) else changed for e in entries])
    assert found.mutated == (mark(5),)
    assert found.lost == ()


def test_a_duplicated_write_is_named(entries):
    found = loss.compare(STORE, entries, [*(e.mark for e in entries), mark(7, "c2")])
    assert found.duplicated == (mark(7, "c2"),)


def test_a_reordered_write_is_named_where_order_is_kept(entries):
    marks = [mark(1), mark(3), mark(2), mark(4)]
    assert loss.compare(STORE, entries, marks, ordered=True).reordered == (mark(2),)
    assert loss.compare(STORE, entries, marks).reordered == ()


def test_unknown_writes_are_neither_lost_nor_phantom():
    found = loss.compare(STORE, [entry(1, Outcome.INDETERMINATE), entry(2, Outcome.INDETERMINATE)], [mark(1)])
    assert (found.unknown_kept, found.unknown_gone, found.lost, found.phantom) == ((mark(1),), (mark(2),), (), ())


def test_other_stores_do_not_count(entries):
    found = loss.compare(STORE, [*entries, entry(500, store="redis")], [e.mark for e in entries])
    assert (found.acked, found.lost) == (200, ())


outcomes = st.sampled_from(list(Outcome))


@given(st.dictionaries(st.tuples(st.sampled_from("ab"), st.integers(1, 30)), st.tuples(outcomes, st.integers(0, 3)), max_size=60))
def test_every_write_is_accounted_for_once(history):
    """Against the definitions, spelt out one write at a time: (outcome, copies found)."""
    written = [Entry(STORE, mark(n, c), 0.0, 1.0, outcome) for (c, n), (outcome, _) in history.items()]
    marks = [mark(n, c) for (c, n), (_, copies) in history.items() for _ in range(copies)]
    found = loss.compare(STORE, written, marks)

    def those(condition):
        return {mark(n, c) for (c, n), (outcome, copies) in history.items() if condition(outcome, copies)}

    assert set(found.lost) == those(lambda o, k: o is Outcome.ACKED and k == 0)
    assert set(found.phantom) == those(lambda o, k: o is Outcome.FAILED and k > 0)
    assert set(found.duplicated) == those(lambda o, k: k > 1)
    assert set(found.unknown_gone) == those(lambda o, k: o is Outcome.INDETERMINATE and k == 0)
    assert found.acked + found.failed + found.indeterminate == len(history)


# -- the loss in seconds --------------------------------------------------------------------------------------------------------------

FAULT = Interval(100.0, 100.5)


def test_no_loss_is_a_loss_of_zero_seconds(entries):
    found = loss.compare(STORE, entries, [e.mark for e in entries])
    assert loss.rpo(found, entries, FAULT) == Interval(0.0, 0.0)


def test_the_oldest_lost_write_counts():
    written = [entry(90), entry(95), entry(99)]
    found = loss.compare(STORE, written, [mark(99)])
    assert loss.rpo(found, written, FAULT) == Interval(100.0 - 90.5, 100.5 - 90.0)


def test_an_unknown_write_that_is_gone_widens_the_upper_bound_only():
    written = [entry(80, Outcome.INDETERMINATE), entry(95)]
    found = loss.compare(STORE, written, [])
    assert loss.rpo(found, written, FAULT) == Interval(100.0 - 95.5, 100.5 - 80.0)


def test_the_bounds_contain_the_true_loss_in_random_histories():
    """Each write takes effect at a random moment while it is under way; the recovery keeps what took effect before a random moment."""
    first = random.randrange(2**32)
    print(f"first seed {first}")
    for seed in range(first, first + 300):
        generator = random.Random(seed)
        fault = generator.uniform(50, 60)
        kept_until = generator.uniform(40, fault)
        written, found, gone = [], [], []
        for number in range(1, 200):
            invoked = number * 0.3
            effective, returned = invoked + generator.random() * 0.2, invoked + 0.2 + generator.random() * 0.2
            if invoked > fault:
                break
            known = returned < fault
            outcome = Outcome.ACKED if known else Outcome.INDETERMINATE
            written.append(Entry(STORE, mark(number), invoked, returned if known else float("inf"), outcome))
            if effective <= kept_until:
                found.append(mark(number))
            elif known:
                gone.append(effective)
        bounds = Interval(fault - generator.random() * 0.1, fault + generator.random() * 0.1)
        measured = loss.rpo(loss.compare(STORE, written, found), written, bounds)
        true = fault - min(gone) if gone else 0.0
        assert measured.contains(true), f"seed {seed}: {measured} lacks {true}"


def test_a_ledger_that_stopped_early_did_not_write_until_the_fault(entries):
    assert loss.wrote_until(entries, STORE, 100.6, 1.0)
    assert not loss.wrote_until(entries, STORE, 110.0, 1.0)
    assert not loss.wrote_until(entries, "redis", 100.6, 1.0)
    assert not loss.wrote_until([entry(100, Outcome.INDETERMINATE)], STORE, 100.6, 1.0)


# -- the ledger's file ----------------------------------------------------------------------------------------------------------------


def lines_of(entries):
    for e in entries:
        yield ledger.invocation_line(e.store, e.mark, e.invoked)
        if e.returned != float("inf"):
            yield ledger.outcome_line(e.store, e.mark, e.returned, e.outcome)


def test_a_ledger_is_read_as_it_was_written():
    written = [entry(1), entry(2, Outcome.FAILED), entry(3, Outcome.INDETERMINATE), entry(1, store="redis")]
    assert ledger.read(lines_of(written)) == written


def test_a_write_without_an_outcome_is_indeterminate():
    found = ledger.read([ledger.invocation_line(STORE, mark(1), 1.0)])
    assert (found[0].outcome, found[0].returned) == (Outcome.INDETERMINATE, float("inf"))


def test_a_torn_last_line_is_passed_over_and_any_other_refused():
    lines = list(lines_of([entry(1), entry(2)]))
    torn = [*lines[:-1], lines[-1][:10]]
    assert [e.outcome for e in ledger.read(torn)] == [Outcome.ACKED, Outcome.INDETERMINATE]
    with pytest.raises(IntegrityError, match="line 2"):
        ledger.read([lines[0], lines[1][:10], *lines[2:]])
