"""Reading the edges of an RDB file."""

import anycrc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drplatform.model import errors
from drplatform.stores.redis import rdb

HEAD = b"REDIS0011" + b"\xfa\x0aredis-bits\xc0\x40" + b"\xfa\x0brepl-offset\xc2\x10\x27\x00\x00" + b"\xfa\x07repl-id\x28" + b"a" * 40


def whole(content: bytes) -> bytes:
    data = HEAD + b"\xfe\x00" + content + b"\xff"
    return data + anycrc.Model("CRC64-REDIS").calc(data).to_bytes(8, "little")


def test_the_checksum_is_the_one_of_redis():
    assert anycrc.Model("CRC64-REDIS").calc(b"123456789") == 0xE9C6D914C4B8D9CA


def test_the_preface_is_read():
    found = rdb.preface(HEAD)
    assert (found.family, found.version, found.timeline, found.offset) == ("REDIS", 11, "a" * 40, 10_000)
    assert found.fields["redis-bits"] == "64"
    cut = rdb.preface(HEAD[:30])
    assert cut.fields == {"redis-bits": "64"} and len(cut.timeline) == 40 and cut.offset == 0
    with pytest.raises(errors.IntegrityError, match="not an RDB"):
        rdb.preface(b"<!doctype html>")


@given(st.binary(max_size=200), st.lists(st.integers(1, 40), min_size=1))
def test_a_whole_file_passes_however_it_is_cut(content, sizes):
    data, blocks = whole(content), []
    for size in sizes:
        blocks.append(data[:size])
        data = data[size:]
    assert b"".join(rdb.checked(iter([*blocks, data]))) == whole(content)


@given(st.binary(max_size=60), st.data())
def test_any_changed_bit_and_any_lost_end_is_seen(content, data):
    file = bytearray(whole(content))
    bit = data.draw(st.integers(0, len(file) * 8 - 1))
    file[bit // 8] ^= 1 << bit % 8
    with pytest.raises(errors.IntegrityError):
        list(rdb.checked(iter([bytes(file)])))
    with pytest.raises(errors.IntegrityError):
        list(rdb.checked(iter([whole(content)[: data.draw(st.integers(0, len(file) - 1))]])))


def test_a_file_without_checksum_passes_when_it_ends_as_it_should():
    assert list(rdb.checked(iter([whole(b"x")[:-8] + bytes(8)])))


@pytest.mark.parametrize(
    "head, family, version, loads",
    [
        (b"REDIS0009", "redis", 11, True),
        (b"REDIS0011", "redis", 11, True),
        (b"REDIS0012", "redis", 11, False),
        (b"REDIS0011", "valkey", 11, True),
        (b"REDIS0012", "valkey", 11, False),
        (b"REDIS0012", "valkey", 80, False),
        (b"REDIS0011", "valkey", 80, True),
        (b"VALKEY080", "valkey", 80, True),
        (b"VALKEY080", "valkey", 11, False),
        (b"VALKEY080", "redis", 12, False),
    ],
)
def test_a_newer_file_never_goes_into_an_older_server(head, family, version, loads):
    assert rdb.loadable(rdb.preface(head), family, version) is loads
