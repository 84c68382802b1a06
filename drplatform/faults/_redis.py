"""What faults on Redis share: a client of their own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from drplatform.model import errors, ports, powers

OURS = b"drplatform:"
SECONDS = 5
SAMPLE = 50


@contextmanager
def client(address: ports.Address, credentials: ports.Credentials | None = None) -> Iterator[Any]:
    """A client of one server. Raises StoreError for what it answers."""
    login = {"username": credentials.user or None, "password": credentials.password.reveal()} if credentials else {}
    try:
        once = Retry(NoBackoff(), 0)
        patience = {"socket_timeout": SECONDS, "socket_connect_timeout": SECONDS}
        with redis.Redis(address.host, address.port, retry=once, **patience, **login) as made:  # type: ignore[arg-type]
            yield made
    except (redis.RedisError, OSError) as error:
        raise errors.StoreError(f"Redis at {address} refused what the fault asks of it ({type(error).__name__}: {error}).") from error


@contextmanager
def primary(scene: ports.Scene, store: str) -> Iterator[Any]:
    found = scene.stores[store]
    assert isinstance(found, powers.Reached)  # the plan has made sure
    with client(found.endpoint.addresses[0], found.endpoint.credentials) as made:
        yield made


def sample(one: Any) -> list[str]:
    """Some keys, those of users before our own, in hex: a key may be any bytes."""
    keys = [key for _, key in zip(range(1000), one.scan_iter(count=500), strict=False)]
    users = [key for key in keys if not key.startswith(OURS)]
    return [key.hex() for key in (users or keys)[:SAMPLE]]
