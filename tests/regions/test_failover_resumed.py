"""Moves between regions that are cut off by kill -9 at random moments and brought to their end by another process."""

import contextlib
import random

import pytest
from region_cases import ByHand

from drplatform.engine import moves


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory):
    made = ByHand(tmp_path_factory.mktemp("regions"))
    with contextlib.closing(made):
        yield made


def test_a_second_move_is_refused_while_one_is_under_way(by_hand):
    note = by_hand.platform.directory / "moving.json"
    note.write_text('{"what": "switchover", "source": "primary", "region": "secondary", "begun": "2026-01-01T00:00:00+00:00"}')
    try:
        with pytest.raises(AssertionError, match="drplatform failover resume"):
            by_hand.run("failover", "switchover", "--to", "secondary", "--yes")
    finally:
        note.unlink()


def test_the_region_that_serves_cannot_take_over(by_hand):
    with pytest.raises(AssertionError, match="The primary region serves; name another: secondary"):
        by_hand.run("failover", "start", "--to", "primary", "--yes")


@pytest.mark.parametrize("cycles", [1, pytest.param(17, marks=(pytest.mark.soak, pytest.mark.timeout(7200)))])
def test_a_move_that_is_cut_off_is_brought_to_its_end(by_hand, cycles):
    """Failover, rejoin and switchover back, each killed once: one primary in the right region, and nothing acknowledged is gone."""
    seed = random.randrange(2**32)
    print("seed", seed)
    generator = random.Random(seed)
    for _ in range(cycles):
        acked = {store: set(by_hand.write(store, 20)) for store in ("mongodb", "redis")}
        by_hand.replicated()
        by_hand.kill("primary")
        _cut_off_and_resume(by_hand, generator, "start", "--to", "secondary", "--yes")
        assert by_hand.primaries() == {"mongodb": ["secondary"], "redis": ["secondary"]}
        assert all(acked[store] <= by_hand.marks(store) for store in acked)

        for store, written in acked.items():
            written.update(by_hand.write(store, 20))
        files = set(by_hand.write("files", 20))
        _cut_off_and_resume(by_hand, generator, "rejoin", "primary", "--yes")
        assert by_hand.primaries() == {"mongodb": ["secondary"], "redis": ["secondary"]}

        _cut_off_and_resume(by_hand, generator, "switchover", "--to", "primary", "--yes")
        assert by_hand.primaries() == {"mongodb": ["primary"], "redis": ["primary"]}
        assert all(acked[store] <= by_hand.marks(store) for store in acked)
        assert files <= by_hand.marks("files")
        assert by_hand.write("files", 5)


def test_a_rejoin_that_is_cut_off_while_a_member_copies_its_data_saves_once_and_ends(by_hand):
    """The member is empty by then: what it alone had is in the vault, and is not looked for on its disks again."""
    seed = random.randrange(2**32)
    print("seed", seed)
    generator = random.Random(seed)
    acked = {store: set(by_hand.write(store, 20)) for store in ("mongodb", "redis")}
    by_hand.replicated()
    by_hand.kill("primary")
    by_hand.run("failover", "start", "--to", "secondary", "--yes")
    before = by_hand.left_behind("mongodb")

    told = by_hand.cut_off(generator, "failover", "rejoin", "primary", "--yes", at="Bring mongodb back")
    saved = by_hand.left_behind("mongodb") - before
    print(told, by_hand.run("failover", "resume"))
    assert saved and by_hand.left_behind("mongodb") - before == saved, told
    assert by_hand.primaries() == {"mongodb": ["secondary"], "redis": ["secondary"]}
    by_hand.run("failover", "switchover", "--to", "primary", "--yes")
    assert all(acked[store] <= by_hand.marks(store) for store in acked)

    by_hand.run("failover", "rejoin", "secondary", "--yes")
    again = by_hand.left_behind("mongodb") - before - saved
    assert again, "a later rejoin must not take the earlier one's note for its own"


def test_a_region_that_is_lost_in_the_middle_of_a_switchover_is_failed_over(by_hand):
    """Members that were asked not to stand for election stand again; the move that can have no end is given up."""
    seed = random.randrange(2**32)
    print("seed", seed)
    generator = random.Random(seed)
    serving = by_hand.serving()
    other = {"primary": "secondary", "secondary": "primary"}[serving]
    acked = {store: set(by_hand.write(store, 20)) for store in ("mongodb", "redis")}
    by_hand.replicated()

    print(by_hand.cut_off(generator, "failover", "switchover", "--to", other, "--yes", at="Hand mongodb over"))
    by_hand.kill(other)
    by_hand.run("failover", "start", "--to", serving, "--yes")
    assert by_hand.primaries() == {"mongodb": [serving], "redis": [serving]}
    assert all(acked[store] <= by_hand.marks(store) for store in acked)
    assert "No move was cut off" in by_hand.run("failover", "resume")


def test_two_do_not_move_at_once(by_hand):
    note = moves.Note(by_hand.platform.directory / moves.FILE)
    with note.alone(), pytest.raises(AssertionError, match="Another process makes a move between regions now"):
        by_hand.run("failover", "resume")
    assert "No move was cut off" in by_hand.run("failover", "resume")


def _cut_off_and_resume(by_hand, generator, *words):
    """Killed before it has noted its move, it had not begun: then it is told again. Killed after it has taken the note away, it was done."""
    told = by_hand.cut_off(generator, "failover", *words)
    print(words, told)
    said = by_hand.run("failover", "resume")
    print(said)
    if "No move was cut off" in said and "(0)" not in told.splitlines()[0] and not by_hand.has_moved(words):
        by_hand.run("failover", *words)
    assert "No move was cut off" in by_hand.run("failover", "resume")
