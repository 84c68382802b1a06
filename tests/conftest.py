"""Fixtures of real servers: small, on loopback, shared by a session, emptied before each test.

`*_endpoint` is an empty server; `*_endpoint_pair` is two independent ones, source and target.
"""

import contextlib
import signal
from collections.abc import Callable, Iterator

import pytest
from real_servers import CLOCK, Server, Servers, empty_mongodb, empty_s3, start_mongodb, start_redis, start_s3

from drplatform.model import clock as clocks
from drplatform.model.ports import Endpoint

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell; what tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def clock() -> clocks.Clock:
    return CLOCK


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    made = Servers()
    yield made
    made.close()


@pytest.fixture
def mongodb_endpoint(servers: Servers) -> Endpoint:
    """An empty replica set of one member. Its oplog also holds what earlier tests did."""
    return servers.fresh("mongodb", 0, start_mongodb, empty_mongodb)


@pytest.fixture
def mongodb_endpoint_pair(servers: Servers, mongodb_endpoint: Endpoint) -> tuple[Endpoint, Endpoint]:
    return mongodb_endpoint, servers.fresh("mongodb", 1, start_mongodb, empty_mongodb)


@pytest.fixture
def redis_servers() -> Iterator[Callable[[], Server]]:
    """Starts a new Redis server at each call; all end with the test."""
    with contextlib.ExitStack() as stack:

        def start() -> Server:
            server = start_redis()
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def redis_endpoint(redis_servers: Callable[[], Server]) -> Endpoint:
    """A new, empty server."""
    return redis_servers().endpoint


@pytest.fixture
def redis_endpoint_pair(redis_servers: Callable[[], Server]) -> tuple[Endpoint, Endpoint]:
    return redis_servers().endpoint, redis_servers().endpoint


@pytest.fixture
def s3_endpoint(servers: Servers) -> Endpoint:
    """An S3 server with the empty buckets `uploads` and `pdfs`."""
    return servers.fresh("s3", 0, start_s3, empty_s3)


@pytest.fixture
def s3_endpoint_pair(servers: Servers, s3_endpoint: Endpoint) -> tuple[Endpoint, Endpoint]:
    return s3_endpoint, servers.fresh("s3", 1, start_s3, empty_s3)
