"""How buckets are set up, and who may read objects: it goes out and comes back, and what is not taken is told by name."""

import contextlib
import json
import random

import botocore.exceptions
import pytest
import real_servers
from files_cases import bring_back, take

from drplatform.model.ports import ObjectChoice
from drplatform.stores import files
from drplatform.stores.files import configuration
from drplatform.stores.files.configuration import Configuration

DENIED = "arn:aws:s3:::uploads"
SET_UP = {
    "versioning": {"VersioningConfiguration": {"Status": "Enabled"}},
    "ownership_controls": {"OwnershipControls": {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}},
    "encryption": {"ServerSideEncryptionConfiguration": {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}},
    "acl": {"ACL": "public-read"},
    "tagging": {"Tagging": {"TagSet": [{"Key": "owner", "Value": "team ü"}]}},
    "cors": {"CORSConfiguration": {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["https://a.example"]}]}},
    "lifecycle_configuration": {
        "LifecycleConfiguration": {
            "Rules": [
                {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "NoncurrentVersionExpiration": {"NoncurrentDays": 30}}
            ]
        }
    },
    "policy": {
        "Policy": json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [{"Sid": "stays", "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteBucket", "Resource": DENIED}],
            }
        )
    },
}
ASPECTS = {"versioning", "ownership", "encryption", "access control list", "tags", "CORS", "lifecycle", "policy"}
ALL_USERS = "READ Group http://acs.amazonaws.com/groups/global/AllUsers"


@pytest.fixture
def pair(s3_endpoint_pair, clock):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(files.connect(endpoint, clock))) for endpoint in s3_endpoint_pair]
    for endpoint in s3_endpoint_pair:
        with contextlib.suppress(botocore.exceptions.ClientError):
            real_servers.s3_client(endpoint).delete_bucket_policy(Bucket="uploads")


def set_up(endpoint, *names):
    s3 = real_servers.s3_client(endpoint)
    for name in names or SET_UP:
        getattr(s3, f"put_bucket_{name}")(Bucket="uploads", **SET_UP[name])
    return s3


class Refusing:
    """A client of a server without some of the requests, or for an account that may not make them."""

    def __init__(self, client, *names, code="NotImplemented", status=501):
        self._client, self._names = client, names
        self._answer = {"Error": {"Code": code, "Message": "by the test"}, "ResponseMetadata": {"HTTPStatusCode": status}}

    def __getattr__(self, name):
        if name not in self._names:
            return getattr(self._client, name)

        def refused(**request):
            raise botocore.exceptions.ClientError(self._answer, name)

        return refused


def test_the_set_up_of_buckets_comes_back(pair, s3_endpoint_pair):
    source, target = pair
    source.seed(1, 6)
    set_up(s3_endpoint_pair[0])
    backup = take(source)
    assert set(configuration.read(source._s3, "uploads").aspects) == ASPECTS
    assert backup.end.digests["uploads#configuration"].items == len(ASPECTS) and "pdfs#configuration" not in backup.end.digests
    end = bring_back(target, backup)
    assert end.refused == ()
    assert configuration.read(target._s3, "uploads") == configuration.read(source._s3, "uploads")
    assert end.digests == backup.end.digests == source.digest() == target.digest()


def test_what_the_target_does_not_know_is_told_and_left(pair, s3_endpoint_pair):
    source, target = pair
    source.seed(1, 6)
    set_up(s3_endpoint_pair[0], "policy", "tagging", "cors")
    backup = take(source)
    target._client = Refusing(target._s3, "get_bucket_policy", "put_bucket_policy", "put_bucket_cors")
    end = bring_back(target, backup)
    assert [words.partition(" is not taken: ")[0] for words in end.refused] == ["uploads: CORS", "uploads: policy"]
    assert end.counts == backup.end.counts and end.digests["uploads"] == backup.end.digests["uploads"]
    assert end.digests["uploads#configuration"] != backup.end.digests["uploads#configuration"]


def test_a_server_that_takes_a_setting_and_forgets_it_is_told(pair, s3_endpoint_pair):
    source, target = pair
    set_up(s3_endpoint_pair[0], "tagging")
    backup = take(source)
    client = target._s3
    target._client = Refusing(client, "get_bucket_tagging", code="NoSuchTagSet", status=404)
    assert bring_back(target, backup).refused == ("uploads: tags is not taken: the target answers that it is, and does not show it",)


def test_what_could_not_be_read_is_told_at_the_backup_and_at_the_restore(pair, s3_endpoint_pair):
    source, target = pair
    set_up(s3_endpoint_pair[0], "policy")
    source._client = Refusing(source._s3, "get_bucket_policy", code="AccessDenied", status=403)
    backup = take(source)
    assert backup.end.counts[configuration.UNREAD] == 2  # of both buckets
    refused = bring_back(target, backup).refused
    assert refused == tuple(f"{name}: policy is not compared: the account was not allowed to read it" for name in ("pdfs", "uploads"))


def test_what_the_target_has_beside_is_left_and_told(pair, s3_endpoint_pair):
    source, target = pair
    backup = take(source)
    s3 = set_up(s3_endpoint_pair[1], "policy")
    assert bring_back(target, backup).refused == ("uploads: policy is set, and not in the backup",)
    assert s3.get_bucket_policy(Bucket="uploads")["Policy"]


def test_a_check_names_what_differs_and_a_restore_in_place_mends_it_when_asked(pair, s3_endpoint_pair):
    source, _ = pair
    source.seed(1, 4)
    s3 = set_up(s3_endpoint_pair[0])
    backup = [(name, blocks) for _, name, blocks in take(source).parts]
    assert source.check(backup, 1.0, random.Random(1)).problems == ()
    s3.delete_bucket_policy(Bucket="uploads")
    s3.put_bucket_tagging(Bucket="uploads", Tagging={"TagSet": [{"Key": "owner", "Value": "nobody"}]})
    s3.put_bucket_cors(Bucket="pdfs", **SET_UP["cors"])
    assert set(source.check(backup, 1.0, random.Random(1)).problems) == {
        "uploads: policy is not set, but in the backup",
        "uploads: tags is not as in the backup",
        "pdfs: CORS is set, and not in the backup",
    }
    assert source.reconcile([backup]).refused == (), "only when asked"
    assert len(source.check(backup, 1.0, random.Random(1)).problems) == 3
    done = source.reconcile([backup], ObjectChoice(configuration=True))
    assert done.refused == ("pdfs: CORS is set, and not in the backup",)
    assert source.check(backup, 1.0, random.Random(1)).problems == done.refused


@pytest.mark.parametrize("size", [100, 17 * 2**20], ids=["small", "in parts"])
def test_access_control_lists_of_objects_come_back(pair, s3_endpoint_pair, size):
    source, target = pair
    s3 = set_up(s3_endpoint_pair[0], "ownership_controls")
    for key in ("public", "private"):
        s3.put_object(Bucket="uploads", Key=key, Body=bytes(size))
    s3.put_object_acl(Bucket="uploads", Key="public", ACL="public-read")
    backup = take(source)
    end = bring_back(target, backup)
    assert (end.refused, end.digests) == ((), backup.end.digests)
    restored = real_servers.s3_client(s3_endpoint_pair[1])
    granted = {key: files.grants.shown(restored.get_object_acl(Bucket="uploads", Key=key)) for key in ("public", "private")}
    assert granted == {"public": ("FULL_CONTROL owner", ALL_USERS), "private": ()}
    restored.put_object_acl(Bucket="uploads", Key="private", ACL="public-read")
    named = [(name, blocks) for _, name, blocks in backup.parts]
    assert target.check(named, 1.0, random.Random(1)).problems == ("uploads/private has another access control list",)
    assert target.reconcile([named], ObjectChoice(closely=True)).written == 1
    assert target.digest() == source.digest()


def test_an_object_whose_list_is_not_taken_comes_without_it_and_is_told(pair, s3_endpoint_pair):
    source, target = pair
    s3 = set_up(s3_endpoint_pair[0], "ownership_controls")
    s3.put_object(Bucket="uploads", Key="public", Body=b"1")
    s3.put_object_acl(Bucket="uploads", Key="public", ACL="public-read")
    backup = take(source)
    target._client = Refusing(target._s3, "put_object_acl")
    end = bring_back(target, backup)
    assert len(end.refused) == 1 and end.refused[0].startswith("uploads/public: its access control list (FULL_CONTROL owner, READ Group")
    assert end.counts["uploads"] == 1


def test_where_the_owner_of_the_bucket_decides_no_lists_are_read(pair):
    source, _ = pair
    source.seed(1, 4)
    source._client = Refusing(source._s3, "get_object_acl", code="InternalError", status=500)
    assert take(source).end.counts["uploads"] == 2


def test_owners_have_no_name_and_grants_go_both_ways():
    owner = {"ID": "of the source"}
    lines = ("FULL_CONTROL owner", "READ CanonicalUser 79a5", "READ_ACP AmazonCustomerByEmail a@b.example", "WRITE Group http://g")
    answer = files.grants.policy(lines, {"ID": "of the target"})
    assert files.grants.shown(answer) == lines
    assert files.grants.shown(files.grants.policy((), owner)) == ()


def test_a_configuration_that_cannot_be_read_is_refused():
    for bad in (b"", b"[]", b'{"aspects": {}}'):
        with pytest.raises(files.configuration.errors.IntegrityError):
            Configuration.of([bad])
