"""A server with `appendfsync everysec` that is killed: what the ledger says was lost, in writes and in seconds."""

import re
import threading

import pytest
import redis
import redis_cases as cases

from drplatform.model import errors, ledger, loss
from drplatform.model.clock import Interval
from drplatform.model.ledger import Entry, Mark, Outcome
from drplatform.stores import redis as store_redis


@pytest.fixture
def server(redis_servers):
    return redis_servers()


def rise(server):
    server.start()
    with cases.client(server.endpoint) as r:
        server.wait(r.ping, redis.RedisError)


def killed_while_written_to(server, store, clock, writes: int) -> tuple[list[Entry], Interval]:
    """The ledger of one client, and when the server was killed: after at least so many acknowledgements, with the client still writing."""
    entries, enough = list[Entry](), threading.Event()

    def write() -> None:
        marker, number, outcome = store.marker("c"), 0, Outcome.ACKED
        while outcome is Outcome.ACKED:
            payload = ledger.payload("c", number, 1)
            mark, begin = Mark("c", number, ledger.digest(payload)), clock.monotonic()
            try:
                marker.write(mark, payload)
            except errors.NotWritten:
                outcome = Outcome.FAILED
            except errors.Indeterminate:
                outcome = Outcome.INDETERMINATE
            entries.append(Entry("redis", mark, begin, clock.monotonic(), outcome))
            number += 1
            if number >= writes:
                enough.set()
        marker.close()

    client = threading.Thread(target=write)
    client.start()
    assert enough.wait(60)
    begin = clock.monotonic()
    server.kill()
    killed = Interval(begin, clock.monotonic())
    client.join(10)
    assert not client.is_alive()
    return entries, killed


def test_a_kill_loses_no_more_than_a_second_or_two_and_the_ledger_says_what(server, clock):
    """The process dies, the machine does not: what the server handed to the system survives, synced or not."""
    store = store_redis.connect(server.endpoint, clock)
    entries, killed = killed_while_written_to(server, store, clock, 3000)
    rise(server)
    found = loss.compare("redis", entries, store.marks(), ordered=True)
    seconds = loss.rpo(found, entries, killed)
    print(f"{len(found.lost)} of {found.acked} acknowledged writes lost, {seconds.lower:.3f} to {seconds.upper:.3f} s")
    assert found.acked >= 3000 and loss.wrote_until(entries, "redis", killed.upper, 1.0)
    assert not found.corrupt
    assert seconds.lower <= 2.5, "the server waits no more than two seconds for a sync before it writes on"


@pytest.mark.parametrize("gone", [1, 400])
def test_the_writes_of_a_lost_second_are_found_to_the_last_one(server, clock, gone):
    """The planted loss: a power cut takes the end of the file that was not synced."""
    store = store_redis.connect(server.endpoint, clock)
    entries, killed = killed_while_written_to(server, store, clock, 1000)
    (tail,) = (server.directory / "appendonlydir").glob("*.incr.aof")
    data = tail.read_bytes()
    acked = [entry for entry in entries if entry.outcome is Outcome.ACKED]
    ends = [at.start() for at in re.finditer(rb"\*3\r\n\$5\r\nRPUSH", data)] + [len(data)]
    # The file may hold one more, that was in flight, or lack some: the server writes on for two seconds while the disk is busy
    kept = min(len(ends) - 1, len(acked)) - gone
    tail.write_bytes(data[: ends[kept]])
    rise(server)
    found = loss.compare("redis", entries, store.marks(), ordered=True)
    assert not found.corrupt and len(acked) - kept >= gone
    assert [mark.number for mark in found.lost] == [entry.mark.number for entry in acked[kept:]]
    seconds = loss.rpo(found, entries, killed)
    # An answer may have been on its way to the client when the server was seen dead: nothing was lost before its time
    assert seconds.lower <= max(0.0, killed.upper - acked[kept].returned) <= seconds.upper
