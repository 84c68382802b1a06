"""Access control lists of buckets and objects: as short lines that any server's owner can be put into, and back.

A grant is `PERMISSION owner`, `PERMISSION Group URI`, `PERMISSION CanonicalUser ID` or `PERMISSION AmazonCustomerByEmail ADDRESS`. The owner of
the source is another one than that of the target, so it has no name here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from drplatform.model import errors
from drplatform.stores.files import access

USUAL = ("FULL_CONTROL owner",)
"""What everything has that was given no other list."""
_NAMES = {"Group": "URI", "CanonicalUser": "ID", "AmazonCustomerByEmail": "EmailAddress"}


def shown(answer: Mapping[str, Any]) -> tuple[str, ...]:
    """The list in an answer of the server, sorted; empty when it is the usual one."""
    owner = answer.get("Owner", {}).get("ID", "")
    found = tuple(sorted({f"{grant['Permission']} {_grantee(grant['Grantee'], owner)}" for grant in answer.get("Grants", ())}))
    return () if found == USUAL else found


def policy(lines: Sequence[str], owner: Mapping[str, Any]) -> dict[str, Any]:
    """What the server is told. An empty list is the usual one."""
    return {"Owner": {"ID": owner.get("ID", "")}, "Grants": [_grant(line, owner) for line in lines or USUAL]}


def of_object(s3: Any, place: Mapping[str, str]) -> tuple[str, ...]:
    """The list of an object; empty also when the server has none. Raises StoreError."""
    try:
        with access.doing(f"read the access control list of {place['Key']} in {place['Bucket']}"):
            return shown(s3.get_object_acl(**place))
    except errors.StoreError as error:
        if access.is_unknown(error.__cause__):
            return ()
        raise


def give_object(s3: Any, place: Mapping[str, str], lines: Sequence[str]) -> str:
    """Give the object its list; why the target does not take it, else nothing. Raises StoreError."""
    try:
        with access.doing(f"set the access control list of {place['Key']} in {place['Bucket']}"):
            owner = s3.get_object_acl(**place).get("Owner", {})
            s3.put_object_acl(AccessControlPolicy=policy(lines, owner), **place)
    except errors.StoreError as error:
        if access.is_refusal(error.__cause__):
            return f"{place['Key']}: its access control list ({', '.join(lines)}): {access.words(error.__cause__)}"
        raise
    return ""


def in_use(s3: Any, bucket: str) -> bool:
    """Whether objects of the bucket have lists of their own: not where its owner is the only one who decides.

    Raises StoreError. False when the account may not ask; then the configuration of the bucket says so.
    """
    try:
        with access.doing(f"read who owns objects in {bucket}"):
            rules = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    except errors.StoreError as error:
        cause = error.__cause__
        if access.is_unknown(cause) or (isinstance(cause, ClientError) and access.status(cause) == 404):
            return True
        if access.is_forbidden(cause):
            return False
        raise
    return all(rule.get("ObjectOwnership") != "BucketOwnerEnforced" for rule in rules)


def _grantee(grantee: Mapping[str, Any], owner: str) -> str:
    kind = str(grantee.get("Type", ""))
    name = grantee.get(_NAMES.get(kind, "ID"), "")
    return "owner" if kind == "CanonicalUser" and name == owner else f"{kind} {name}"


def _grant(line: str, owner: Mapping[str, Any]) -> dict[str, Any]:
    permission, _, grantee = line.partition(" ")
    kind, _, name = grantee.partition(" ")
    if kind == "owner":
        kind, name = "CanonicalUser", str(owner.get("ID", ""))
    return {"Permission": permission, "Grantee": {"Type": kind, _NAMES.get(kind, "ID"): name}}
