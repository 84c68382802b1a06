"""How a bucket is set up, beside what it holds: versioning, ownership, access control list, policy, lifecycle, CORS, tags, encryption,
website, public access block and default object lock. Part `bucket/<bucket>` of a backup.

Left out is what names things outside of the bucket: notifications, logging, replication, inventories; and billing.
What a server does not know, it has not; what it does not take is told by name.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from drplatform.model import errors
from drplatform.model.backup import Digest, Multiset
from drplatform.stores.files import access, digest, grants

PREFIX = "bucket/"
DIGEST_SUFFIX = "#configuration"
UNREAD = "settings of buckets not readable"
EARLY = ("ownership", "encryption", "versioning")
"""Concern how objects are stored, so they are set before the first one; all else comes after the last one, lest it forbid or delete."""


@dataclass(frozen=True)
class Aspect:
    """One thing that can be set. `take`: its value in the server's answer, JSON-able, None when it is not set. `give`: the request's fields.

    `usual`: what some servers set by themselves in every new bucket; there it says nothing.
    """

    name: str
    ask: str
    put: str
    take: Callable[[Mapping[str, Any]], Any]
    give: Callable[[Any], dict[str, Any]]
    usual: tuple[Any, ...] = ()


def _field(name: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda answer: answer.get(name) or None


_ENFORCED = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
_SITE = ("RedirectAllRequestsTo", "IndexDocument", "ErrorDocument", "RoutingRules")
_BLOCKED = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
_MANAGED = [{"SSEAlgorithm": "AES256"}]
ASPECTS = (
    Aspect(
        "ownership",
        "get_bucket_ownership_controls",
        "put_bucket_ownership_controls",
        lambda answer: None if answer["OwnershipControls"] == _ENFORCED else answer["OwnershipControls"],
        lambda value: {"OwnershipControls": value},
    ),
    Aspect(
        "encryption",
        "get_bucket_encryption",
        "put_bucket_encryption",
        lambda answer: [rule["ApplyServerSideEncryptionByDefault"] for rule in answer["ServerSideEncryptionConfiguration"]["Rules"]],
        lambda value: {"ServerSideEncryptionConfiguration": {"Rules": [{"ApplyServerSideEncryptionByDefault": each} for each in value]}},
        (_MANAGED,),
    ),
    Aspect(
        "versioning",
        "get_bucket_versioning",
        "put_bucket_versioning",
        _field("Status"),
        lambda value: {"VersioningConfiguration": {"Status": value}},
    ),
    Aspect(
        "access control list",
        "get_bucket_acl",
        "put_bucket_acl",
        lambda answer: list(grants.shown(answer)) or None,
        lambda value: {"AccessControlPolicy": value},
    ),
    Aspect("tags", "get_bucket_tagging", "put_bucket_tagging", _field("TagSet"), lambda value: {"Tagging": {"TagSet": value}}),
    Aspect("CORS", "get_bucket_cors", "put_bucket_cors", _field("CORSRules"), lambda value: {"CORSConfiguration": {"CORSRules": value}}),
    Aspect(
        "website",
        "get_bucket_website",
        "put_bucket_website",
        lambda answer: {name: answer[name] for name in _SITE if name in answer} or None,
        lambda value: {"WebsiteConfiguration": value},
    ),
    Aspect(
        "lifecycle",
        "get_bucket_lifecycle_configuration",
        "put_bucket_lifecycle_configuration",
        _field("Rules"),
        lambda value: {"LifecycleConfiguration": {"Rules": value}},
    ),
    Aspect(
        "public access block",
        "get_public_access_block",
        "put_public_access_block",
        _field("PublicAccessBlockConfiguration"),
        lambda value: {"PublicAccessBlockConfiguration": value},
        (_BLOCKED,),
    ),
    Aspect(
        "object lock",
        "get_object_lock_configuration",
        "put_object_lock_configuration",
        _field("ObjectLockConfiguration"),
        lambda value: {"ObjectLockConfiguration": value},
    ),
    Aspect(
        "policy",
        "get_bucket_policy",
        "put_bucket_policy",
        lambda answer: json.loads(answer["Policy"]) if answer.get("Policy") else None,
        lambda value: {"Policy": json.dumps(value)},
    ),
)


@dataclass(frozen=True)
class Configuration:
    """What is set, by the name of the aspect. `unreadable`: aspects that the account was not allowed to read, and why."""

    aspects: Mapping[str, Any] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def block(self) -> bytes:
        return json.dumps({"aspects": self.aspects, "unreadable": self.unreadable}).encode()

    @classmethod
    def of(cls, blocks: Iterable[bytes]) -> "Configuration":
        """Raises IntegrityError when it is none."""
        try:
            document = json.loads(b"".join(blocks))
            return cls(dict(document["aspects"]), dict(document["unreadable"]))
        except (KeyError, TypeError, ValueError) as error:
            raise errors.IntegrityError(f"The configuration of a bucket cannot be read ({error}); do not trust this backup.") from error

    def digest(self) -> Digest:
        found = Multiset()
        found.add_all(f"{name} {_canonical(value)}".encode() for name, value in self.aspects.items())
        return found.digest()


def read(s3: Any, bucket: str) -> Configuration:
    """Raises StoreError, but not when the server does not know an aspect, or the account may not read it."""
    aspects, unreadable = dict[str, Any](), dict[str, str]()
    for aspect, value, why in digest.in_parallel(ASPECTS, lambda aspect: (aspect, *_read(s3, bucket, aspect))):
        aspects |= {} if value is None else {aspect.name: value}
        unreadable |= {aspect.name: why} if why else {}
    return Configuration(aspects, unreadable)


def digests(s3: Any, buckets: Iterable[str]) -> dict[str, Digest]:
    """By name; nothing of a bucket in which nothing is set."""
    found = {bucket + DIGEST_SUFFIX: read(s3, bucket) for bucket in buckets}
    return {name: each.digest() for name, each in found.items() if each.aspects}


def apply(s3: Any, bucket: str, wanted: Configuration, names: Iterable[str]) -> dict[str, str]:
    """Set these aspects, as far as they are wanted, in the order of ASPECTS; each is read again. By name why one was not taken.

    Raises StoreError when the server cannot be asked.
    """
    refused = dict[str, str]()
    chosen = set(names)
    for aspect in ASPECTS:
        if aspect.name in chosen and aspect.name in wanted.aspects:
            value = wanted.aspects[aspect.name]
            if why := _write(s3, bucket, aspect, value):
                refused[aspect.name] = f"{bucket}: {aspect.name} is not taken: {why}"
    return refused


def late() -> Iterator[str]:
    return (aspect.name for aspect in ASPECTS if aspect.name not in EARLY)


def differences(bucket: str, wanted: Configuration, found: Configuration, without: Iterable[str] = ()) -> Iterator[str]:
    """How a bucket is set up otherwise than in the backup, in words; but for some aspects."""
    for aspect in (each for each in ASPECTS if each.name not in set(without)):
        name, before, now = aspect.name, wanted.aspects.get(aspect.name), found.aspects.get(aspect.name)
        if name in wanted.unreadable or name in found.unreadable:
            yield f"{bucket}: {name} is not compared: {wanted.unreadable.get(name) or found.unreadable[name]}"
        elif before is None and now is not None and now not in aspect.usual:
            yield f"{bucket}: {name} is set, and not in the backup"
        elif before is not None and now is None:
            yield f"{bucket}: {name} is not set, but in the backup"
        elif before is not None and _canonical(before) != _canonical(now):
            yield f"{bucket}: {name} is not as in the backup"


def _read(s3: Any, bucket: str, aspect: Aspect) -> tuple[Any, str]:
    """The value, and why it is not known."""
    try:
        with access.doing(f"read the {aspect.name} of the bucket {bucket}"):
            answer = getattr(s3, aspect.ask)(Bucket=bucket)
    except errors.StoreError as error:
        cause = error.__cause__
        if access.is_forbidden(cause):
            return None, "the account was not allowed to read it"
        unset = isinstance(cause, ClientError) and access.status(cause) == 404 and access.code(cause) != "NoSuchBucket"
        if unset or access.is_unknown(cause):
            return None, ""
        raise
    value = aspect.take(answer)
    return None if value is None else json.loads(_canonical(value)), ""


def _write(s3: Any, bucket: str, aspect: Aspect, value: Any) -> str:
    """Why it was not taken, else nothing."""
    try:
        with access.doing(f"set the {aspect.name} of the bucket {bucket}"):
            given = grants.policy(value, s3.get_bucket_acl(Bucket=bucket).get("Owner", {})) if aspect.put == "put_bucket_acl" else value
            getattr(s3, aspect.put)(Bucket=bucket, **aspect.give(given))
    except errors.StoreError as error:
        if access.is_refusal(error.__cause__):
            return access.words(error.__cause__)
        raise
    found, why = _read(s3, bucket, aspect)
    if why:
        return f"set, but {why}"
    return "" if found is not None and _canonical(found) == _canonical(value) else "the target answers that it is, and does not show it"


def _canonical(value: Any) -> str:
    """Times as text, as the server takes them, too."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=lambda moment: moment.isoformat())
