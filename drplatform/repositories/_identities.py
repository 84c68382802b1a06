"""Identities at an S3 server that has the IAM interface: each made with one policy document, used, and removed.

Actions and parameters: https://docs.aws.amazon.com/IAM/latest/APIReference/ (CreateUser, PutUserPolicy, CreateAccessKey).
"""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from drplatform.model import clock as clocks
from drplatform.model import errors, ports
from drplatform.model.clock import Clock
from drplatform.model.secret import Secret
from drplatform.repositories import s3

SECONDS_TO_KNOW = 30.0


@contextmanager
def identity(place: ports.Endpoint, document: Callable[[str], Mapping[str, Any]], clock: Clock) -> Iterator[ports.Repository]:
    """The repository at the place, as an identity that may do what the document (of the bucket) says. Removed on leaving.

    The endpoint's own credentials must be allowed to make it. Raises StoreError when the server does not make identities.
    """
    client, name = _iam(place), f"drplatform-{secrets.token_hex(4)}"
    try:
        client.create_user(UserName=name)
    except (BotoCoreError, ClientError) as error:
        raise errors.StoreError(f"The S3 server at {place.addresses[0]} makes no identities ({error}).") from error
    try:
        client.put_user_policy(UserName=name, PolicyName="role", PolicyDocument=json.dumps(document(place.options["bucket"])))
        key = client.create_access_key(UserName=name)["AccessKey"]
        opened = s3.open(replace(place, credentials=ports.Credentials(key["AccessKeyId"], Secret(key["SecretAccessKey"]))), clock)
        clocks.wait_for(
            clock,
            "the S3 server to know a new identity",
            lambda: [*opened.list("leases/")] or True,
            within=SECONDS_TO_KNOW,
            ignoring=(errors.StoreError,),
        )
        yield opened
    finally:
        _remove(client, name)


def _iam(place: ports.Endpoint) -> Any:
    assert place.credentials
    return boto3.session.Session().client(
        "iam",
        endpoint_url=f"{place.options.get('scheme', 'http')}://{place.addresses[0]}",
        region_name=place.options.get("region", "us-east-1"),
        aws_access_key_id=place.credentials.user,
        aws_secret_access_key=place.credentials.password.reveal(),
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30),
    )


def _remove(client: Any, name: str) -> None:
    for key in client.list_access_keys(UserName=name)["AccessKeyMetadata"]:
        client.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    client.delete_user(UserName=name)
