"""Redis behind TLS that wants to know its clients: everything works with the right certificates, and nothing with others.

The servers of the package speak no TLS, so a terminator stands before one; a `redis-server` with TLS that is on PATH is used as it is.
"""

import contextlib
import dataclasses
import os
import shutil
import socket
import ssl
import subprocess
import threading

import pytest
import real_servers
import redis_cases as cases
from authority import Authority

from drplatform.model import clock as clocks
from drplatform.model import errors, ledger
from drplatform.model.ledger import Mark
from drplatform.model.ports import Address, Endpoint
from drplatform.stores import redis as store_redis


class Terminator:
    """Speaks TLS to clients whose certificates it knows, and plainly to the server."""

    def __init__(self, server: Address, context: ssl.SSLContext) -> None:
        self._server, self._context = server, context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address("127.0.0.1", self._listener.getsockname()[1])
        self._open: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            secured = stack.enter_context(self._context.wrap_socket(client, server_side=True))
            server = stack.enter_context(socket.create_connection((self._server.host, self._server.port)))
            self._open += [secured, server]
            back = threading.Thread(target=self._copy, args=(server, secured), daemon=True)
            back.start()
            self._copy(secured, server)
            back.join(30)

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for each in self._open:
            each.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"), "authority")


@pytest.fixture
def redis_server_with_tls(authority, tmp_path):
    """The endpoint of a stock server that itself speaks nothing but TLS."""
    program = os.environ.get("DRPLATFORM_TEST_REDIS_WITH_TLS") or shutil.which("redis-server")
    if program is None:
        pytest.skip("needs a redis-server with TLS: on PATH, or named by DRPLATFORM_TEST_REDIS_WITH_TLS")
    certificate, key = authority.new("stock", "127.0.0.1")
    (port,) = real_servers.free_ports(1)
    command = [program, "--dir", str(tmp_path), "--bind", "127.0.0.1", "--port", "0", "--tls-port", str(port), "--save", ""]
    command += ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", str(authority.ca)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        yield Endpoint("redis", (Address("127.0.0.1", port),))
        process.kill()


@pytest.fixture
def terminated(authority, redis_endpoint_pair):
    """The endpoint of a terminator before a server of the package."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.new("server", "127.0.0.1"))
    context.load_verify_locations(authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    terminator = Terminator(redis_endpoint_pair[0].addresses[0], context)
    yield dataclasses.replace(redis_endpoint_pair[0], addresses=(terminator.address,))
    terminator.close()


def secured(endpoint: Endpoint, authority: Authority, client: tuple[str, str] | None) -> Endpoint:
    options = {**endpoint.options, "tls": "yes", "tls_ca": str(authority.ca)}
    return dataclasses.replace(endpoint, options=options | ({"tls_certificate": client[0], "tls_key": client[1]} if client else {}))


def goes_through(source, target, clock) -> None:
    """Seeded, snapshot, captured, marked, probed, and restored elsewhere."""
    source.seed(5, 40)
    blocks, end = cases.snapshot(source)
    with cases.Capture(source, end, clock) as capture:
        marks = cases.write(source, "client", range(5))
        capture.upto_now()
        log = capture.log
    prober = source.prober(marks[0], ledger.payload("client", 0, 1))
    prober.attempt(1, 5.0)
    prober.close()
    digest = source.digest()
    cases.restored(target, blocks, log)
    assert target.digest() == digest and sum(d.items for d in digest.values()) > 10
    assert {m.number for m in target.marks()} == {0, 1, 2, 3, 4}


def test_all_of_it_works_by_tls(terminated, authority, redis_endpoint_pair, clock):
    source = store_redis.connect(secured(terminated, authority, authority.new("client", "127.0.0.1")), clock)
    goes_through(source, store_redis.connect(redis_endpoint_pair[1], clock), clock)


def test_all_of_it_works_with_a_stock_server_that_speaks_tls_alone(redis_server_with_tls, authority, redis_endpoint_pair, clock):
    """Back into it is refused as long as it replicates by TLS only; else it is restored over the network too."""
    source = store_redis.connect(secured(redis_server_with_tls, authority, authority.new("client", "127.0.0.1")), clock)
    clocks.wait_for(clock, "the server to start", source.version, within=20, ignoring=(errors.StoreError,))
    target = store_redis.connect(redis_endpoint_pair[1], clock)
    goes_through(source, target, clock)
    blocks, _ = cases.snapshot(target)
    with source._dial() as wire:
        wire.pipeline([("FLUSHALL",), ("FUNCTION", "FLUSH"), ("CONFIG", "SET", "tls-replication", "yes")])
    with pytest.raises(errors.TargetRefused, match="by TLS only"):
        cases.restored(source, blocks)
    assert source.occupants() == ()


def test_wrong_certificates_reach_nothing(terminated, authority, redis_endpoint_pair, tmp_path, clock):
    stranger = Authority(tmp_path, "stranger")
    right = authority.new("client", "127.0.0.1")
    plain = redis_endpoint_pair[0]
    before = store_redis.connect(plain, clock).position()
    wrong = [
        secured(terminated, stranger, right),
        secured(terminated, authority, stranger.new("client", "127.0.0.1")),
        secured(terminated, authority, None),
        dataclasses.replace(secured(terminated, authority, right), addresses=(Address("localhost", terminated.addresses[0].port),)),
        terminated,
    ]
    for endpoint in wrong:
        store = store_redis.connect(endpoint, clock)
        with pytest.raises(errors.StoreError):
            store.version()
        with pytest.raises((errors.NotWritten, errors.Indeterminate, errors.StoreError)):
            store.marker("client").write(Mark("client", 0, "0" * 64), b"payload")
    with pytest.raises(errors.StoreError, match="check certificates and tls_ca"):
        store_redis.connect(wrong[0], clock).version()
    assert store_redis.connect(plain, clock).position().sequence == before.sequence
