"""What faults on file storage share: a client of their own, and objects as victims."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from drplatform.faults import _destroying
from drplatform.model import errors, ports, powers

VICTIMS_AT_MOST = 20_000
PRIVATE = (".drplatform/probe", ".drplatform/identity")
"""What the platform keeps for itself beside the users' objects and the clients' writes."""


@contextmanager
def client(scene: ports.Scene, store: str) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """A client of the store's endpoint, and its buckets. Raises StoreError for what the server answers."""
    found = scene.stores[store]
    assert isinstance(found, powers.Reached)  # the plan has made sure
    place = found.endpoint
    assert place.credentials
    made = boto3.session.Session().client(
        "s3",
        endpoint_url=f"{place.options.get('scheme', 'http')}://{place.addresses[0]}",
        region_name=place.options.get("region", "us-east-1"),
        aws_access_key_id=place.credentials.user,
        aws_secret_access_key=place.credentials.password.reveal(),
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": 2},
            connect_timeout=5,
            read_timeout=30,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    try:
        yield made, tuple(name.strip() for name in place.options["buckets"].split(","))
    except (BotoCoreError, ClientError) as error:
        raise errors.StoreError(f"The file storage at {place.addresses[0]} refused what the fault asks of it ({error}).") from error
    finally:
        made.close()


@dataclass(frozen=True)
class OnObjects(_destroying.Destroying):
    """A `share` (0 to 1) of the objects of a bucket, by default all of the bucket that the clients write to.

    Which ones is decided by a hash of their keys, from `begin` on: successive windows are different objects.
    """

    store: str = "files"
    bucket: str = ""
    share: float = 1.0
    begin: float = 0.0

    def affects(self) -> frozenset[str]:
        return frozenset({self.store})

    def needs(self) -> frozenset[str]:
        return frozenset({f"store:{self.store}", f"reached:{self.store}"})

    def aim(self, scene: ports.Scene) -> powers.Aim:
        with client(scene, self.store) as (s3, buckets):
            bucket = self.bucket or buckets[0]
            etags = listed(s3, bucket)
        return powers.Aim(tuple(f"{bucket}/{key}" for key in self.victims(etags)), len(etags), destroys=True)

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        with client(scene, self.store) as (s3, buckets):
            bucket = self.bucket or buckets[0]
            etags = listed(s3, bucket)
        victims = {key: etags[key] for key in self.victims(etags)}
        if not victims:
            raise errors.Inconclusive(f"The bucket {bucket} holds no object that could be hurt; write some first.")
        return {"bucket": bucket, "victims": victims, "objects": len(etags)}

    def apply(self, scene: ports.Scene) -> None:
        with client(scene, self.store) as (s3, buckets):
            bucket = self.bucket or buckets[0]
            for key in self.victims(listed(s3, bucket)):
                self.hurt(scene, s3, bucket, key)

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        """A listing tells: every victim is gone, or is another object than before."""
        with client(scene, self.store) as (s3, _):
            now = listed(s3, before["bucket"])
        hurt = [key for key, etag in before["victims"].items() if now.get(key) != etag]
        if len(hurt) < len(before["victims"]):
            return ports.Receipt((), f"{len(hurt)} of {len(before['victims'])} objects of {before['bucket']} are hurt")
        return ports.Receipt((before["bucket"],), f"{len(hurt)} of {before['objects']} objects are gone or others than before")

    def hurt(self, scene: ports.Scene, s3: Any, bucket: str, key: str) -> None:
        """What happens to one object."""
        raise NotImplementedError

    def victims(self, etags: Mapping[str, str]) -> list[str]:
        if not 0 < self.share <= 1 or not 0 <= self.begin < 1:
            raise errors.SettingsError("The share of objects must be above 0 and at most 1, and begin at 0 or above and below 1.")
        return [key for key in sorted(etags) if self.begin <= _place(key) < self.begin + self.share]


def listed(s3: Any, bucket: str) -> dict[str, str]:
    """Key -> entity tag of what is the users' or the clients'. Raises SettingsError when there are too many for one journal."""
    found: dict[str, str] = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        found |= {o["Key"]: o["ETag"] for o in page.get("Contents", ()) if not o["Key"].startswith(PRIVATE)}
        if len(found) > VICTIMS_AT_MOST:
            raise errors.SettingsError(f"The bucket {bucket} holds more than {VICTIMS_AT_MOST} objects; name a smaller one.")
    return found


def read(s3: Any, bucket: str, key: str) -> bytes:
    body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return body


def _place(key: str) -> float:
    """Where in [0, 1) an object stands, evenly and always the same."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6]) / 2**48
