"""The replication stream as data."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drplatform.model import errors
from drplatform.model.position import Position
from drplatform.stores.redis import stream, wire

LINE = "a" * 40
ARGUMENTS = st.lists(st.binary(max_size=30), max_size=3)
COMMANDS = st.lists(st.builds(lambda verb, rest: [verb, *rest], st.sampled_from([b"SET", b"rpush", b"PING"]), ARGUMENTS), max_size=12)


def at(offset: int) -> Position:
    return Position(LINE, (offset,), 0.0)


def frame(begin: int, *commands: list[bytes], database: int = 0) -> stream.Frame:
    return stream.Frame(LINE, begin, 5.0, database, b"".join(map(wire.encode, commands)))


def applied(frames: list[stream.Frame], reached: int, until: int | None = None) -> bytes:
    blocks = iter([b"".join(f.pack() for f in frames)])
    return b"".join(bytes(piece.data) for piece in stream.after(blocks, at(reached), None if until is None else at(until)))


@given(st.lists(COMMANDS, max_size=5), st.integers(1, 50))
def test_frames_survive_being_joined_and_cut_anywhere(batches, size):
    frames, begin = [], 100
    for commands in batches:
        frames.append(frame(begin, *commands))
        begin = frames[-1].end
    data = b"".join(f.pack() for f in frames)
    assert list(stream.frames(iter(data[i : i + size] for i in range(0, len(data), size)))) == frames
    if data:
        with pytest.raises(errors.IntegrityError):
            list(stream.frames(iter([data[:-1]])))


@given(COMMANDS, st.data())
def test_commands_are_found_whole_or_not_at_all(commands, data):
    whole = b"".join(map(wire.encode, commands))
    ends = list(itertools.accumulate(len(wire.encode(c)) for c in commands))
    keep = data.draw(st.integers(0, len(whole)))
    found = list(stream.units(whole[:keep], 0))
    assert [unit.end for unit in found] == [end for end in ends if end <= keep]
    assert [unit.commands[0].verb for unit in found] == [c[0].upper() for c in commands[: len(found)]]


def test_until_cuts_between_commands_and_never_inside_a_transaction():
    commands = [[b"SET", b"a", b"1"], [b"MULTI"], [b"SET", b"b", b"1"], [b"SET", b"c", b"1"], [b"EXEC"], [b"DEL", b"a"]]
    one = frame(1000, *commands)
    ends = list(itertools.accumulate(len(wire.encode(c)) for c in commands))
    for until in range(len(one.data) + 1):
        reached = max([0, *(end for end in (ends[0], ends[4], ends[5]) if end <= until)])
        assert applied([one], 1000, 1000 + until) == one.data[:reached]


def test_what_was_loaded_is_passed_over_and_holes_are_never_bridged():
    one = frame(0, [b"SET", b"a", b"1"], [b"SET", b"a", b"2"])
    two = frame(one.end, [b"SET", b"a", b"3"])
    half = one.end // 2
    assert applied([one, two], half) == one.data[half:] + two.data
    assert applied([one, two], one.end) == two.data
    assert applied([two], two.end) == b""
    with pytest.raises(errors.LogGap, match="hole"):
        applied([two], half)
    with pytest.raises(errors.LogGap, match="ends at"):
        applied([one], 0, one.end + 1)
    with pytest.raises(errors.RecoveryFailed, match="later than"):
        applied([one, two], one.end, half)


def test_another_history_is_refused():
    foreign = stream.Frame("b" * 40, 0, 0.0, 0, wire.encode([b"DEL", b"x"]))
    with pytest.raises(errors.IntegrityError, match="belong together"):
        applied([foreign], 0)
    with pytest.raises(errors.IntegrityError, match="no stored stream"):
        list(stream.frames(iter([b"x" * 200])))


def test_operations_name_what_was_done_to_what():
    one = frame(
        10, [b"SELECT", b"3"], [b"SET", b"k\xff", b"v"], [b"PING"], [b"MULTI"], [b"DEL", b"a"], [b"FLUSHDB"], [b"EXEC"], [b"flushall"]
    )
    found = list(stream.operations(one.pack()))
    assert [(o.verb, o.subject) for o in found] == [
        ("SET", "db3:k\\xff"), ("DEL", "db3:a"), ("FLUSHDB", "db3"), ("FLUSHALL", "all databases"),
    ]  # fmt: skip
    transaction, last = found[1:3], found[3]
    assert transaction[0].at == transaction[1].at == last.before and transaction[0].before == transaction[1].before
    assert last.at == Position(LINE, (one.end,), 5.0)
    assert next(stream.operations(frame(0, [b"DEL", b"x"], database=stream.UNKNOWN).pack())).subject == "db?:x"
