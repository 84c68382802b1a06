"""The buckets of one endpoint through boto3: clients, errors, and which objects are ours and not the platform's."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from drplatform.model import errors
from drplatform.model.ports import Endpoint

OURS = ".drplatform/"
IDENTITY = OURS + "identity"
MARKS = OURS + "marks/"
PROBE = OURS + "probe"
MISSING = frozenset({"NoSuchKey", "404", "NotFound", "NoSuchTagSet"})


@dataclass(frozen=True)
class Buckets:
    """Buckets of one endpoint. `clients` by time-out in seconds: boto3 clients are safe to share between threads."""

    endpoint: Endpoint
    names: tuple[str, ...]
    _clients: dict[float, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, endpoint: Endpoint) -> "Buckets":
        names = tuple(n.strip() for n in endpoint.options.get("buckets", "").split(",") if n.strip())
        if not names or not endpoint.addresses or endpoint.credentials is None:
            raise errors.SettingsError("File storage needs an address, credentials and the names of its buckets.")
        return cls(endpoint, names)

    def client(self, timeout: float = 60.0) -> Any:
        """A client that gives up after `timeout` seconds and never retries by itself."""
        if timeout not in self._clients:
            self._clients[timeout] = self.new_client(timeout)
        return self._clients[timeout]

    def new_client(self, timeout: float, connections: int = 16) -> Any:
        credentials = self.endpoint.credentials
        assert credentials
        return boto3.session.Session().client(
            "s3",
            endpoint_url=f"{self.endpoint.options.get('scheme', 'http')}://{self.endpoint.addresses[0]}",
            region_name=self.endpoint.options.get("region", "us-east-1"),
            aws_access_key_id=credentials.user,
            aws_secret_access_key=credentials.password.reveal(),
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                retries={"total_max_attempts": 1},
                connect_timeout=timeout,
                read_timeout=timeout,
                max_pool_connections=connections,
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def identity(self) -> str:
        """The marker objects of all buckets; one is made where it is missing."""
        with told("tell which buckets these are"):
            return "+".join(self._marker(name) for name in self.names)

    def _marker(self, bucket: str) -> str:
        client = self.client()
        try:
            client.put_object(Bucket=bucket, Key=IDENTITY, Body=uuid.uuid4().hex.encode(), IfNoneMatch="*")
        except ClientError as error:
            if code(error) not in ("PreconditionFailed", "412", "ConditionalRequestConflict"):
                raise
        found: bytes = client.get_object(Bucket=bucket, Key=IDENTITY)["Body"].read()
        return found.decode()

    def objects(self, bucket: str, prefix: str = "") -> Iterator[dict[str, Any]]:
        """The listing entries of the bucket, page by page, in order of keys."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        with told(f"list the bucket {bucket}"):
            for page in pages:
                yield from page.get("Contents", ())


def is_content(key: str) -> bool:
    """Whether the object belongs to the platform (or is a mark), and not to the prober or to us."""
    return key != IDENTITY and key != PROBE


def is_reference(key: str) -> bool:
    return not key.startswith(OURS)


@dataclass(frozen=True)
class Head:
    """What is kept of an object beside its content."""

    key: str
    size: int
    content_type: str
    metadata: dict[str, str]
    tags: dict[str, str]

    def line(self) -> bytes:
        """Canonical form."""
        return json.dumps(vars(self), sort_keys=True, separators=(",", ":")).encode()


def head(client: Any, bucket: str, key: str, response: dict[str, Any]) -> Head:
    """From the answer to a GET or HEAD of the object, and its tags."""
    tags = client.get_object_tagging(Bucket=bucket, Key=key).get("TagSet", ()) if response.get("TagCount", 1) else ()
    return Head(
        key,
        int(response["ContentLength"]),
        str(response.get("ContentType", "")),
        dict(response.get("Metadata", {})),
        {tag["Key"]: tag["Value"] for tag in tags},
    )


def code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def told(what: str) -> Iterator[None]:
    """Errors of the client as StoreError that says what could not be done."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise errors.StoreError(f"Could not {what}: {error}") from error
