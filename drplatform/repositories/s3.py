"""Objects in an S3 bucket. A put is conditional, so that an object is never overwritten, and carries a checksum that the server verifies.

Where the bucket has object lock, what is put may be locked for days: until then nobody can delete or change that version, not even its owner
(mode COMPLIANCE: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html). Deleting hides it, and `undelete` shows it again.
"""

import base64
import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import boto3
from botocore.auth import AUTH_TYPE_MAPS, S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.model.ports import Endpoint, ObjectInfo

T = TypeVar("T")
ATTEMPTS = 5
FIRST_PAUSE = 0.1
CONNECTIONS = 16
_TAKEN = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
_DENIED = frozenset({"AccessDenied", "Forbidden", "403"})
MOVING = ("leases/", "holds/")
"""What is let go before its time is never locked."""
EVIDENCE = "evidence/"
_REFUSED = _DENIED | {"NoSuchBucket", "InvalidAccessKeyId", "SignatureDoesNotMatch"}


class _SignedChecksum(S3SigV4Auth):
    """Signs the SHA-256 that a request has as its checksum. The library would take it of the content once more."""

    def payload(self, request: AWSRequest) -> str:
        checksum: str | None = request.headers.get("x-amz-checksum-sha256")
        return base64.b64decode(checksum).hex() if checksum else str(super().payload(request))


class _AtOnce(io.BytesIO):
    """What is sent in one piece. The library reads 128 KiB at a time, and the threads of a backup wait for the interpreter at each of them."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read()


_SIGNATURE = "s3v4-checksum"
AUTH_TYPE_MAPS[_SIGNATURE] = _SignedChecksum


def _chosen(**of_event: Any) -> str:
    return _SIGNATURE


def open(place: Endpoint, clock: Clock) -> "S3Repository":
    """The repository in the bucket `options['bucket']` of the endpoint. Connects at the first use."""
    if not place.addresses or "bucket" not in place.options or place.credentials is None:
        raise errors.SettingsError("An S3 repository needs an address, a bucket and credentials.")
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=f"{place.options.get('scheme', 'http')}://{place.addresses[0]}",
        region_name=place.options.get("region", "us-east-1"),
        aws_access_key_id=place.credentials.user,
        aws_secret_access_key=place.credentials.password.reveal(),
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": 1},
            connect_timeout=5,
            read_timeout=60,
            max_pool_connections=CONNECTIONS,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    days = int(place.options.get("lock_days", 0))
    return S3Repository(client, place.options["bucket"], clock, days, int(place.options.get("evidence_lock_days", days)))


class S3Repository:
    """`lock_days`, `evidence_lock_days`: for so long backups and evidence can be deleted by nobody; 0 locks nothing."""

    def __init__(self, client: Any, bucket: str, clock: Clock, lock_days: int = 0, evidence_lock_days: int = 0) -> None:
        self._client, self._bucket, self._clock = client, bucket, clock
        client.meta.events.register_first("choose-signer.s3.PutObject", _chosen, unique_id=_SIGNATURE)
        self._lock_days, self._evidence_lock_days = lock_days, evidence_lock_days

    def put(self, key: str, data: bytes, sha256: str = "") -> None:
        checksum = base64.b64encode(bytes.fromhex(sha256) if sha256 else hashlib.sha256(data).digest()).decode()

        def attempt() -> None:
            try:
                self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=_AtOnce(data), IfNoneMatch="*", ChecksumSHA256=checksum, **self._lock(key)
                )
            except ClientError as error:
                if _code(error) not in _TAKEN:
                    raise
                self._require_same(key, data)

        self._retried(f"store {key}", attempt)

    def get(self, key: str) -> bytes:
        def attempt() -> bytes:
            try:
                data: bytes = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
                return data
            except ClientError as error:
                if _code(error) in _MISSING:
                    raise errors.ObjectMissing(f"{key} is not in {self.describe()}.") from None
                raise

        return self._retried(f"fetch {key}", attempt)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        token: str | None = None
        while True:
            page = self._retried(f"list {prefix}", lambda token=token: self._page(prefix, token))  # type: ignore[misc]
            for item in page.get("Contents", ()):
                yield ObjectInfo(item["Key"], item["Size"], item["LastModified"])
            token = page.get("NextContinuationToken")
            if not token:
                return

    def delete(self, key: str) -> None:
        self._retried(f"delete {key}", lambda: self._client.delete_object(Bucket=self._bucket, Key=key))

    def undelete(self, prefix: str) -> tuple[str, ...]:
        """Show again what was deleted under the prefix and still has a version; its keys. What was let go on purpose (MOVING) stays so.

        Raises StoreError where the bucket keeps no versions.
        """
        hidden = [marker for marker in self._markers(prefix) if marker["IsLatest"] and not marker["Key"].startswith(MOVING)]
        for marker in hidden:
            where = {"Bucket": self._bucket, "Key": marker["Key"], "VersionId": marker["VersionId"]}
            self._retried(f"undelete {marker['Key']}", lambda where=where: self._client.delete_object(**where))  # type: ignore[misc]
        return tuple(marker["Key"] for marker in hidden)

    def _markers(self, prefix: str) -> Iterator[dict[str, Any]]:
        if self._retried("ask for versions", lambda: self._client.get_bucket_versioning(Bucket=self._bucket)).get("Status") != "Enabled":
            raise errors.StoreError(
                f"{self.describe()} keeps no versions, so what was deleted is gone; switch versioning and object lock on."
            )
        place = {"Bucket": self._bucket, "Prefix": prefix}
        page: dict[str, Any] = {}
        while not page or page.get("IsTruncated"):
            since = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]} if page else {}
            page = self._retried(f"list versions of {prefix}", lambda since=since: self._client.list_object_versions(**place, **since))  # type: ignore[misc]
            yield from page.get("DeleteMarkers", ())

    def _lock(self, key: str) -> dict[str, Any]:
        days = self._evidence_lock_days if key.startswith(EVIDENCE) else self._lock_days
        if not days or key.startswith(MOVING):
            return {}
        return {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": self._clock.utc() + timedelta(days=days)}

    def describe(self) -> str:
        return f"bucket {self._bucket} at {self._client.meta.endpoint_url}"

    def _page(self, prefix: str, token: str | None) -> dict[str, Any]:
        more = {"ContinuationToken": token} if token else {}
        page: dict[str, Any] = self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, **more)
        return page

    def _require_same(self, key: str, data: bytes) -> None:
        """A retry may find what the attempt before it has stored."""
        if self.get(key) != data:
            raise errors.ObjectExists(f"{key} exists with other content in {self.describe()}; objects are never overwritten.")

    def _retried(self, what: str, attempt: Callable[[], T]) -> T:
        """Bounded retries with doubling pauses; refusals are not retried."""
        pause = FIRST_PAUSE
        for remaining in reversed(range(ATTEMPTS)):
            try:
                return attempt()
            except (BotoCoreError, ClientError) as error:
                refused = isinstance(error, ClientError) and _code(error) in _REFUSED
                if refused or not remaining:
                    denied = isinstance(error, ClientError) and _code(error) in _DENIED
                    kind = errors.AccessDenied if denied else errors.StoreError
                    raise kind(f"Could not {what} in {self.describe()}: {error}") from error
                self._clock.wait(threading.Event(), pause)
                pause *= 2
        raise AssertionError("unreachable")


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
