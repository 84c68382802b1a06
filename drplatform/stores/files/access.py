"""The client that reads and writes many objects, and what all S3 errors become. Knows no layout of backups."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from botocore.loaders import Loader

from drplatform.model import errors
from drplatform.model.ports import Credentials, Endpoint
from drplatform.stores.files import fetch

REGION = "us-east-1"
CONNECTIONS = 32
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
_CHANGED = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "InvalidRange", "416"})
_UNKNOWN = frozenset({"NotImplemented", "MethodNotAllowed", "XNotImplemented"})
_PASSING = frozenset({"RequestTimeout", "SlowDown", "TooManyRequests", "OperationAborted", "NoSuchBucket", "RequestTimeTooSkewed"})
_OWNED = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})


def buckets(endpoint: Endpoint) -> tuple[str, ...]:
    """The names in `options['buckets']`. Raises SettingsError when there are none, or the endpoint has no address or credentials."""
    names = tuple(name.strip() for name in endpoint.options.get("buckets", "").split(",") if name.strip())
    if not names or not endpoint.addresses or endpoint.credentials is None:
        raise errors.SettingsError("File storage needs an address, credentials and the option `buckets`; name them in its endpoint.")
    return names


def older(endpoint: Endpoint) -> bool:
    """Whether older versions are backed up, too: `options['versions']` is `all` (the default) or `current`. Raises SettingsError."""
    said = endpoint.options.get("versions", "all")
    if said not in ("all", "current"):
        raise errors.SettingsError(f"The option `versions` of file storage is all or current, not {said}.")
    return said == "all"


def url(endpoint: Endpoint) -> str:
    return f"{endpoint.options.get('scheme', 'http')}://{endpoint.addresses[0]}"


def credentials(endpoint: Endpoint) -> Credentials:
    assert endpoint.credentials, "buckets() has checked it"
    return endpoint.credentials


def client(endpoint: Endpoint) -> Any:
    """A client that several threads may share. It repeats what failed, so it is not for the ledger's writes.

    The option `patience`: so many seconds without an answer are a failure, and nothing is repeated; for who tries again by himself.
    """
    keys, patience = credentials(endpoint), endpoint.options.get("patience")
    session = botocore.session.Session()
    session.register_component("data_loader", _descriptions())
    if not patience:
        session.register("creating-client-class.s3", fetch.shortcut)
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=fetch.moment)
    return boto3.session.Session(botocore_session=session).client(
        "s3",
        endpoint_url=url(endpoint),
        region_name=endpoint.options.get("region", REGION),
        aws_access_key_id=keys.user,
        aws_secret_access_key=keys.password.reveal(),
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            retries={"mode": "standard", "total_max_attempts": 1 if patience else 4},
            connect_timeout=5,
            read_timeout=float(patience or 60),
            max_pool_connections=CONNECTIONS,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


@functools.cache
def _descriptions() -> Loader:
    """What botocore knows of services, read once: a client costs 3 ms of processor time then, instead of 50."""
    loader: Loader = botocore.session.Session().get_component("data_loader")
    return loader


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Whatever the client raises becomes a StoreError that says what could not be done."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise errors.StoreError(f"Could not {what}: {error}") from error


def code(error: BaseException | None) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def status(error: Exception) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) if isinstance(error, ClientError) else 0


def is_missing(error: BaseException | None) -> bool:
    return code(error) in _MISSING


def is_changed(error: BaseException | None) -> bool:
    return code(error) in _CHANGED


def is_forbidden(error: BaseException | None) -> bool:
    return isinstance(error, ClientError) and status(error) == 403


def is_unknown(error: BaseException | None) -> bool:
    """The server does not have what it was asked for at all."""
    return isinstance(error, ClientError) and (status(error) in (405, 501) or code(error) in _UNKNOWN)


def is_refusal(error: BaseException | None) -> bool:
    """The server will not take it, now or later: asking again is of no use."""
    if isinstance(error, ParamValidationError):
        return True
    return isinstance(error, ClientError) and (400 <= status(error) < 500 or status(error) == 501) and code(error) not in _PASSING


def words(error: BaseException | None) -> str:
    return " ".join(str(error).split())


def make_bucket(s3: Any, bucket: str) -> None:
    """Nothing when it is there already."""
    try:
        s3.create_bucket(Bucket=bucket)
    except ClientError as error:
        if code(error) not in _OWNED:
            raise errors.StoreError(f"Could not make the bucket {bucket}: {error}") from error
