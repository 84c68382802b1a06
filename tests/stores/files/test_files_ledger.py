"""The ledger's writes in file storage: what counts as acknowledged, refused, unknown; and what the prober takes for service."""

import contextlib
import dataclasses
import os
import signal
import socket
import threading

import pytest
import real_servers

from drplatform.model import errors, ledger
from drplatform.model.clock import wait_for
from drplatform.model.ledger import Mark
from drplatform.model.ports import Address, Credentials
from drplatform.model.secret import Secret
from drplatform.stores import files

PAYLOAD = ledger.payload("client", 1, 9)
MARK = Mark("client", 1, ledger.digest(PAYLOAD))


@pytest.fixture
def store(s3_endpoint, clock):
    found = files.connect(s3_endpoint, clock)
    yield found
    found.close()


def write(store, mark=MARK, payload=PAYLOAD):
    with contextlib.closing(store.marker(mark.client)) as marker:
        marker.write(mark, payload)


def test_marks_come_back_by_client_in_order(store):
    clients = ("client", "anchor", "an/odd client ü%")
    wanted = []
    for client in clients:
        with contextlib.closing(store.marker(client)) as marker:
            for number in range(1, 13):
                payload = ledger.payload(client, number, 1)
                wanted.append(Mark(client, number, ledger.digest(payload)))
                marker.write(wanted[-1], payload)
    found = list(store.marks())
    assert sorted(found, key=str) == sorted(wanted, key=str)
    for client in clients:
        assert [m.number for m in found if m.client == client] == list(range(1, 13))


def test_changed_foreign_and_missing_marks_show(store, s3_endpoint):
    for number in (1, 2, 3):
        write(store, Mark("client", number, MARK.digest))
    client = real_servers.s3_client(s3_endpoint)
    client.put_object(Bucket="uploads", Key=".drplatform/marks/client/00000002", Body=b"changed")
    client.delete_object(Bucket="uploads", Key=".drplatform/marks/client/00000003")
    client.put_object(Bucket="uploads", Key=".drplatform/marks/client/oddly", Body=PAYLOAD)
    changed = Mark("client", 2, ledger.digest(b"changed"))
    assert set(store.marks()) == {MARK, changed, Mark("client", -1, MARK.digest)}


def test_missing_bucket_is_made(s3_endpoint, clock):
    endpoint = dataclasses.replace(s3_endpoint, options={"buckets": "new-one,new-two"})
    with contextlib.closing(files.connect(endpoint, clock)) as store:
        write(store)
        assert list(store.marks()) == [MARK]
        assert store.occupants() == ("new-one: 1 object",)


def test_wrong_key_is_not_written_and_not_told(s3_endpoint, clock):
    secret = "canary-7f31c9"
    endpoint = dataclasses.replace(s3_endpoint, credentials=Credentials(s3_endpoint.credentials.user, Secret(secret)))
    with contextlib.closing(files.connect(endpoint, clock)) as store:
        with pytest.raises(errors.NotWritten) as refusal:
            write(store)
        with pytest.raises(errors.StoreError) as failure:
            store.identity()
        assert secret not in f"{refusal.value!r} {failure.value!r} {store.endpoint!r}"


def test_nobody_listens(store, clock):
    (port,) = real_servers.free_ports(1)
    endpoint = dataclasses.replace(store.endpoint, addresses=(Address("127.0.0.1", port),))
    with pytest.raises(errors.NotWritten):
        write(files.connect(endpoint, clock))


def test_killed_and_started_again(clock):
    server = real_servers.start_s3()
    try:
        store = files.connect(server.endpoint, clock)
        marker = store.marker("client")
        prober = store.prober(MARK, PAYLOAD)
        marker.write(MARK, PAYLOAD)
        prober.attempt(1, 5.0)
        server.kill()
        with pytest.raises(errors.NotWritten):  # the server is gone for certain: nothing listens
            marker.write(Mark("client", 2, MARK.digest), PAYLOAD)
        with pytest.raises(errors.StoreError):
            prober.attempt(2, 0.25)
        server.start()
        wait_for(clock, "a probe", lambda: prober.attempt(3, 1.0) is None, within=30, ignoring=(errors.StoreError,))
        marker.write(Mark("client", 3, MARK.digest), PAYLOAD)
        assert [mark.number for mark in store.marks()] == [1, 3]
        for each in (marker, prober, store):
            each.close()
    finally:
        server.close()


def test_server_that_hangs_is_indeterminate_in_time(clock):
    server = real_servers.start_s3()
    try:
        store = files.connect(server.endpoint, clock)
        marker, prober = store.marker("client"), store.prober(MARK, PAYLOAD)
        marker.write(MARK, PAYLOAD)
        prober.attempt(1, 5.0)
        os.kill(server.process.pid, signal.SIGSTOP)
        begin = clock.monotonic()
        with pytest.raises(errors.Indeterminate):  # sent on a connection that had worked
            marker.write(Mark("client", 2, MARK.digest), PAYLOAD)
        assert 1.0 < clock.monotonic() - begin < 2.0
        with pytest.raises(errors.NotWritten):  # on a new one, the server did not even greet
            marker.write(Mark("client", 3, MARK.digest), PAYLOAD)
        begin = clock.monotonic()
        with pytest.raises(errors.StoreError):
            prober.attempt(2, 0.25)
        assert clock.monotonic() - begin < 1.0
        os.kill(server.process.pid, signal.SIGCONT)
        marker.close()
        prober.close()
    finally:
        server.close()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 503 X\r\nContent-Length: 40\r\n\r\n<Error><Code>SlowDown</Code>............", errors.NotWritten),
        (b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n", errors.Indeterminate),
        (b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n", errors.Indeterminate),
        (b"HTTP/1.1 507 X\r\nContent-Length: 0\r\n\r\n", errors.Indeterminate),
        (b"HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n", errors.NotWritten),
        (b"HTTP/1.1 307 X\r\nContent-Length: 0\r\n\r\n", errors.NotWritten),
        (b"HTTP/1.1 20", errors.Indeterminate),
        (b"", errors.Indeterminate),
        (b"not HTTP at all\r\n\r\n", errors.Indeterminate),
    ],
)
def test_answers_of_a_server_in_trouble(store, clock, answer, error):
    """A server that greets and then answers a write so, and closes."""
    with _answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", answer) as address:
        endpoint = dataclasses.replace(store.endpoint, addresses=(address,))
        with pytest.raises(error) as caught:
            write(files.connect(endpoint, clock))
    assert type(caught.value) is error


def test_proxy_without_a_server_behind_it_is_not_written(store, clock):
    with _answering(b"") as address, pytest.raises(errors.NotWritten):
        write(files.connect(dataclasses.replace(store.endpoint, addresses=(address,)), clock))


def test_prober_finds_the_anchor_missing_or_changed(store, s3_endpoint):
    prober = store.prober(MARK, PAYLOAD)
    with pytest.raises(errors.StoreError, match="not there"):
        prober.attempt(1, 5.0)
    write(store)
    prober.attempt(2, 5.0)
    real_servers.s3_client(s3_endpoint).put_object(Bucket="uploads", Key=".drplatform/marks/client/00000001", Body=b"x" + PAYLOAD[1:])
    with pytest.raises(errors.StoreError, match="not there"):
        prober.attempt(3, 5.0)
    prober.close()


def test_identity_stays_and_is_one_of_its_own(store, s3_endpoint, clock):
    with contextlib.closing(files.connect(s3_endpoint, clock)) as again:
        assert store.identity() == again.identity() == store.position().timeline
    assert store.occupants() == ()
    assert store.position() <= store.position()
    uploads, pdfs = store.identity().split("-")
    real_servers.s3_client(s3_endpoint).delete_object(Bucket="pdfs", Key=".drplatform/identity")
    assert store.identity().split("-")[0] == uploads
    assert store.identity().split("-")[1] != pdfs


@contextlib.contextmanager
def _answering(*answers: bytes):
    """A listener that gives one answer a request to its first connection, then closes it."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            for answer in answers:
                connection.settimeout(5)
                while connection.recv(65536)[-1:] not in (b"", b"\n", PAYLOAD[-1:]):
                    pass
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield Address("127.0.0.1", listener.getsockname()[1])
        thread.join(10)
        assert not thread.is_alive()
