"""Each identity does its work, and what it must not do is refused by the server itself."""

import json
import uuid
from dataclasses import replace

import boto3
import botocore.exceptions
import pytest
from botocore.config import Config
from real_servers import s3_client

from drplatform import environment
from drplatform.model import access, errors
from drplatform.model import clock as clocks
from drplatform.model.access import Role
from drplatform.model.ports import Credentials
from drplatform.model.secret import Secret

BUCKET = "uploads"
CHUNK, MANIFEST = "mongodb/full/one/chunks/000001", "mongodb/full/one/manifest.json"
DENIED = {"AccessDenied", "403", "Forbidden"}

ACTS = {
    "put": lambda s3: s3.put_object(Bucket=BUCKET, Key="mongodb/full/two/chunks/000001", Body=b"new"),
    "read data": lambda s3: s3.get_object(Bucket=BUCKET, Key=CHUNK),
    "read manifests": lambda s3: s3.get_object(Bucket=BUCKET, Key=MANIFEST),
    "list": lambda s3: s3.list_objects_v2(Bucket=BUCKET),
    "delete": lambda s3: s3.delete_object(Bucket=BUCKET, Key=CHUNK),
    "delete many": lambda s3: s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": CHUNK}]}),
    "delete a version": lambda s3: s3.delete_object(Bucket=BUCKET, Key=CHUNK, VersionId=version(s3)),
    "delete the bucket": lambda s3: s3.delete_bucket(Bucket=BUCKET),
    "make a bucket": lambda s3: s3.create_bucket(Bucket="another"),
    "change the policy": lambda s3: s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(access.policy(Role.READER, BUCKET))),
    "stop versioning": lambda s3: s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"}),
    "expire": lambda s3: s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration=EXPIRE),
    "delete a hold": lambda s3: s3.delete_object(Bucket=BUCKET, Key="holds/one"),
    "reach another bucket": lambda s3: s3.list_objects_v2(Bucket="pdfs"),
}
EXPIRE = {"Rules": [{"ID": "all", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]}
MAY = {
    Role.WRITER: {"put", "list", "read manifests"},
    Role.READER: {"list", "read manifests", "read data"},
    Role.PRUNER: {"list", "read manifests", "delete", "delete many"},
    Role.AUDITOR: {"list", "read manifests"},
}
VERSIONS = {}


def version(s3):
    return VERSIONS[s3.meta.endpoint_url]


def iam(endpoint):
    return boto3.client(
        "iam",
        endpoint_url=f"http://{endpoint.addresses[0]}",
        region_name="us-east-1",
        aws_access_key_id=endpoint.credentials.user,
        aws_secret_access_key=endpoint.credentials.password.reveal(),
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture
def vault(s3_endpoint):
    """A bucket with versions and one backup; all of it asked for by its owner."""
    owner = s3_client(s3_endpoint)
    owner.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for key in (CHUNK, MANIFEST):
        made = owner.put_object(Bucket=BUCKET, Key=key, Body=b"content")
        if key == CHUNK:
            VERSIONS[owner.meta.endpoint_url] = made["VersionId"]
    return s3_endpoint


@pytest.fixture
def identity(vault, clock):
    """Makes the identity of a role at the server, by its policy document; gives its endpoint. Removed at the end."""
    admin, made = iam(vault), []

    def make(role):
        name = f"drplatform-{role.value}-{uuid.uuid4().hex[:8]}"
        admin.create_user(UserName=name)
        made.append(name)
        admin.put_user_policy(UserName=name, PolicyName=role.value, PolicyDocument=json.dumps(access.policy(role, BUCKET)))
        key = admin.create_access_key(UserName=name)["AccessKey"]
        found = replace(vault, credentials=Credentials(key["AccessKeyId"], Secret(key["SecretAccessKey"])))
        clocks.wait_for(
            clock,
            "the server to know the identity",
            lambda: s3_client(found).list_objects_v2(Bucket=BUCKET)["KeyCount"] >= 2,
            within=30,
            ignoring=(botocore.exceptions.ClientError,),
        )
        return found

    yield make
    for name in made:
        for key in admin.list_access_keys(UserName=name)["AccessKeyMetadata"]:
            admin.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
        admin.delete_user(UserName=name)


def outcome(act, s3):
    try:
        answer = ACTS[act](s3)
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
    return answer["Errors"][0]["Code"] if answer.get("Errors") else "allowed"


@pytest.mark.parametrize("role", Role)
def test_what_an_identity_must_not_do_is_refused_by_the_server_and_its_work_is_not(identity, vault, role):
    s3 = s3_client(identity(role))
    found = {act: outcome(act, s3) for act in ACTS}
    allowed = {act for act, code in found.items() if code == "allowed"}
    assert allowed == MAY[role], found
    assert {code for act, code in found.items() if act not in allowed} <= DENIED, found
    owner = s3_client(vault)
    assert owner.get_object(Bucket=BUCKET, Key=CHUNK, VersionId=version(owner))["Body"].read() == b"content"
    assert owner.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"


def test_the_owner_may_do_what_they_are_refused(vault):
    """The control: the acts themselves are sound, so a refusal is one of rights."""
    owner = s3_client(vault)
    able = [act for act in ACTS if act not in ("delete the bucket", "make a bucket", "stop versioning", "change the policy", "expire")]
    assert {act: outcome(act, owner) for act in able} == dict.fromkeys(able, "allowed")


def test_what_a_stolen_writer_overwrites_is_still_there(identity, vault):
    thief, owner = s3_client(identity(Role.WRITER)), s3_client(vault)
    thief.put_object(Bucket=BUCKET, Key=CHUNK, Body=b"ransom")
    assert owner.get_object(Bucket=BUCKET, Key=CHUNK, VersionId=version(owner))["Body"].read() == b"content"


def test_our_own_repository_works_with_a_writer_and_is_told_when_it_deletes(identity, clock):
    endpoint = identity(Role.WRITER)
    repository = environment.repository(replace(endpoint, options={**endpoint.options, "bucket": BUCKET}), clock)
    repository.put("redis/snapshot/one/chunks/000001", b"x")
    assert [info.key for info in repository.list("redis/")] == ["redis/snapshot/one/chunks/000001"]
    with pytest.raises(errors.StoreError):
        repository.delete("redis/snapshot/one/chunks/000001")
