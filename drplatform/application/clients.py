"""Connections of the application to its stores, and what a store's error becomes: a StoreError.

Knows where things are kept: names of the database, of keys and of buckets.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import pymongo
import redis
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pymongo.errors import PyMongoError

from drplatform.model import errors
from drplatform.model.ports import Endpoint

DATABASE = "application"
CACHE, JOBS, WORKING = "application:document:", "application:jobs", "application:working"
UPLOADS, PDFS = "uploads", "pdfs"
SECONDS = 3.0
"""Within which a store must answer."""
FAILURES = (PyMongoError, redis.RedisError, BotoCoreError, ClientError)

Document = dict[str, Any]


@dataclass(frozen=True)
class Clients:
    """Of the stores that a service depends on; asking for another raises SettingsError. Safe for several threads."""

    stores: Mapping[str, Any]

    @property
    def documents(self) -> "pymongo.collection.Collection[Document]":
        return self._of("mongodb")[DATABASE]["documents"]  # type: ignore[no-any-return]

    @property
    def redis(self) -> "redis.Redis":
        return self._of("redis")  # type: ignore[no-any-return]

    @property
    def files(self) -> Any:
        return self._of("files")

    def reach(self, kind: str) -> None:
        """Raises StoreError when the store does not do its work: MongoDB and file storage answer, Redis takes writes."""
        with answering(kind):
            match kind:
                case "mongodb":
                    self._of(kind).admin.command("ping")
                case "redis":
                    if self.redis.info("replication")["role"] != "master":
                        raise errors.StoreError("redis answers as a replica, which takes no writes; look where it is served.")
                case _:
                    self.files.head_bucket(Bucket=UPLOADS)
                    self.files.head_bucket(Bucket=PDFS)

    def close(self) -> None:
        for client in self.stores.values():
            client.close()

    def _of(self, kind: str) -> Any:
        if kind not in self.stores:
            raise errors.SettingsError(f"This service has no settings for {kind!r}; name it among what it depends on.")
        return self.stores[kind]


def connect(stores: Mapping[str, Endpoint]) -> Clients:
    """Clients that connect when they are used. Raises SettingsError for a kind that the application does not use."""
    if unknown := stores.keys() - _MAKERS.keys():
        raise errors.SettingsError(f"The reference application has no use for {sorted(unknown)[0]!r}; it uses {', '.join(_MAKERS)}.")
    return Clients({kind: _MAKERS[kind](endpoint) for kind, endpoint in stores.items()})


@contextmanager
def answering(kind: str) -> Iterator[None]:
    """Whatever a client raises becomes a StoreError."""
    try:
        yield
    except FAILURES as error:
        raise errors.StoreError(f"{kind} does not answer as it should: {type(error).__name__}: {str(error)[:200]}") from error


def _mongodb(endpoint: Endpoint) -> Any:
    milliseconds = int(SECONDS * 1000)
    return pymongo.MongoClient(
        [str(a) for a in endpoint.addresses],
        replicaSet=endpoint.options.get("replica_set"),
        serverSelectionTimeoutMS=milliseconds,
        connectTimeoutMS=milliseconds,
        socketTimeoutMS=2 * milliseconds,
        w="majority",
        tz_aware=True,
    )


def _redis(endpoint: Endpoint) -> Any:
    at = endpoint.addresses[0]
    return redis.Redis(at.host, at.port, socket_timeout=SECONDS, socket_connect_timeout=SECONDS, decode_responses=True)


def _files(endpoint: Endpoint) -> Any:
    assert endpoint.credentials, "file storage has keys"
    return boto3.session.Session().client(
        "s3",
        endpoint_url=f"http://{endpoint.addresses[0]}",
        region_name=endpoint.options.get("region", "us-east-1"),
        aws_access_key_id=endpoint.credentials.user,
        aws_secret_access_key=endpoint.credentials.password.reveal(),
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            connect_timeout=SECONDS,
            read_timeout=2 * SECONDS,
            retries={"total_max_attempts": 2},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


_MAKERS: Mapping[str, Callable[[Endpoint], Any]] = {"mongodb": _mongodb, "redis": _redis, "files": _files}
