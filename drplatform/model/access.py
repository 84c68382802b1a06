"""Who may do what to the vault's bucket: identities of least privilege, as policy documents in S3's own language.

Pure: knows actions and resources (https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html), not who applies them.
An overwrite is a put: where backups must outlive a stolen writer, the bucket keeps versions, which only `s3:DeleteObjectVersion` removes, and
that no identity here has.
"""

import enum
from typing import Any


class Role(enum.StrEnum):
    WRITER = "writer"
    """Takes backups, captures logs, keeps evidence. Never deletes; reads manifests, leases and evidence, but no data."""
    READER = "reader"
    """Restores and verifies. Never writes."""
    PRUNER = "pruner"
    """Applies retention: deletes, reads manifests, writes nothing."""
    AUDITOR = "auditor"
    """Sees what there is, and reads manifests and evidence. Neither data nor changes."""


MANIFESTS = ("*/manifest.json",)
DELETABLE = (*MANIFESTS, "*/chunks/*")
"""Not evidence, holds, leases, or keys that were wrapped anew."""

_READS = {
    Role.WRITER: (*MANIFESTS, "leases/*", "evidence/*"),
    Role.READER: ("*",),
    Role.PRUNER: MANIFESTS,
    Role.AUDITOR: (*MANIFESTS, "evidence/*"),
}


def policy(role: Role, bucket: str) -> dict[str, Any]:
    """The policy document of the identity; what it does not allow is refused by the server."""
    statements = [
        _allow("List", ["s3:ListBucket"], [f"arn:aws:s3:::{bucket}"]),
        _allow("Read", ["s3:GetObject"], [f"arn:aws:s3:::{bucket}/{pattern}" for pattern in _READS[role]]),
    ]
    if role is Role.WRITER:
        statements.append(_allow("Put", ["s3:PutObject", "s3:PutObjectRetention", "s3:AbortMultipartUpload"], [f"arn:aws:s3:::{bucket}/*"]))
    if role is Role.PRUNER:
        statements.append(_allow("Delete", ["s3:DeleteObject"], [f"arn:aws:s3:::{bucket}/{pattern}" for pattern in DELETABLE]))
    return {"Version": "2012-10-17", "Statement": statements}


def _allow(name: str, actions: list[str], resources: list[str]) -> dict[str, Any]:
    return {"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resources}
