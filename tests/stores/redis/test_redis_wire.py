"""What many answers at once may look like, by bytes that a server could send: whole, in pieces, wrong, too many, too few."""

import socket
import threading

import pytest
from real_servers import CLOCK

from drplatform.stores.redis import wire as wires

NESTED = b"*3\r\n$2\r\na\n\r\n:-7\r\n*2\r\n$-1\r\n*-1\r\n"
THREE = [("PING",), ("XINFO", "STREAM", b"\xff"), ("GET", 1)]


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield wires.Wire(ours, CLOCK, "Redis here").within(10), theirs


def test_answers_come_whole_and_errors_are_among_them(ends):
    wire, server = ends
    server.sendall(b"+PONG\r\n" + NESTED + b"-WRONGTYPE not \xff\r\n")
    pong, nested, error = wire.pipeline(THREE)
    assert (pong, nested) == (b"PONG", [b"a\n", -7, [None, None]])
    assert isinstance(error, wires.ErrorReply) and error.code == "WRONGTYPE" and "not \ufffd" in str(error)
    assert server.recv(1000) == b"*1\r\n$4\r\nPING\r\n*3\r\n$5\r\nXINFO\r\n$6\r\nSTREAM\r\n$1\r\n\xff\r\n*2\r\n$3\r\nGET\r\n$1\r\n1\r\n"


def test_answers_come_in_pieces_of_any_size(ends):
    wire, server = ends
    answers = b"+PONG\r\n" + NESTED + b"$3\r\nxyz\r\n"

    def drip():
        for at in range(len(answers)):
            server.sendall(answers[at : at + 1])

    thread = threading.Thread(target=drip)
    thread.start()
    found = wire.pipeline(THREE)
    thread.join(10)
    assert found == [b"PONG", [b"a\n", -7, [None, None]], b"xyz"]
    server.sendall(b":1\r\n")
    assert wire.call("EXISTS", "k") == 1, "nothing is left over"


@pytest.mark.parametrize(
    ("said", "why"),
    [(b"HTTP/1.1 400 Bad Request\r\n", "does not speak the Redis protocol"), (b":1\r\n:2\r\n:3\r\n:4\r\n", "more than it was asked")],
)
def test_what_is_no_answer_is_no_value(ends, said, why):
    wire, server = ends
    server.sendall(said)
    with pytest.raises(wires.ConnectionLost, match=why):
        wire.pipeline(THREE)


def test_an_answer_that_never_ends_is_none(ends):
    wire, server = ends
    server.sendall(b":1\r\n:2\r\n$5\r\nab")
    server.shutdown(socket.SHUT_WR)
    with pytest.raises(wires.ConnectionLost, match="closed the connection"):
        wire.pipeline(THREE)
