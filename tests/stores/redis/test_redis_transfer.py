"""A snapshot on its way: all of it comes, wherever the connection cuts it and wherever its end lies; one that breaks off is not used."""

import random
import socket
import threading

import pytest

from drplatform.model import errors
from drplatform.model.position import Position
from drplatform.stores.redis import psync
from drplatform.stores.redis.psync import Transfer
from drplatform.stores.redis.wire import Wire

BLOCK = 64
MARK = bytes(range(40))


@pytest.fixture
def received(clock, monkeypatch):
    monkeypatch.setattr(psync, "BLOCK_BYTES", BLOCK)

    def receive(sent, size, mark, pieces):
        """The blocks that come of what is sent in such pieces, the first of them together with the line before it."""
        here, there = socket.socketpair()
        wire = Wire(here, clock, "the server")

        def send():
            with there:
                for piece in pieces(b"line\r\n" + sent):
                    there.sendall(piece)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            assert wire.line() == b"line"
            return list(Transfer(wire, Position("t", (1,), 0.0), size, mark).blocks())
        finally:
            wire.close()
            sender.join(10)

    return receive


def cut(generator):
    def pieces(data):
        while data:
            size = generator.randint(1, 2 * BLOCK)
            yield data[:size]
            data = data[size:]

    return pieces


@pytest.mark.parametrize(
    "size", [1, 10, 39, 40, 41, BLOCK - 1, BLOCK, BLOCK + 1, BLOCK + 20, BLOCK + 40, BLOCK + 41, 2 * BLOCK, 5 * BLOCK + 7]
)
def test_a_snapshot_comes_whole_however_it_is_cut(received, size):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    generator = random.Random(seed)
    for _ in range(5):
        content = generator.randbytes(size)
        for known, mark in ((size, b""), (0, MARK)):
            blocks = received(content + mark, known, mark, cut(generator))
            assert b"".join(blocks) == content
            assert all(0 < len(block) <= BLOCK for block in blocks)


@pytest.mark.parametrize("known, mark", [(200, b""), (0, MARK)])
def test_a_snapshot_that_breaks_off_is_not_used(received, known, mark):
    for sent in (b"x" * 199, b"x" * 150 + MARK[:-1]):
        with pytest.raises(errors.IntegrityError, match="broke off"):
            received(sent, known, mark, cut(random.Random(1)))
