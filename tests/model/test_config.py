"""The configuration of backup jobs is read strictly, all that is wrong is told at once, and no secret belongs into it."""

import copy

import pytest

from drplatform.model import config, errors
from drplatform.model.config import Place, SecretRef
from drplatform.model.ports import Address

GOOD = {
    "stores": {
        "mongodb": {
            "addresses": ["db1:27017", "[::1]:27018"],
            "options": {"replica_set": "rs0"},
            "user": "backup",
            "password": {"env": "MONGODB_PASSWORD"},
        },
        "redis": {"addresses": ["cache:6379"], "options": {"tls": True, "tls_ca": "ca.pem"}},
        "configuration": {"options": {"directory": "etc"}},
    },
    "repository": {
        "s3": {"addresses": ["s3:443"], "options": {"bucket": "b", "scheme": "https"}, "user": "k", "password": {"file": "secret"}}
    },
    "recipients": ["age1xyz"],
    "identity": "identity.txt",
}


def test_a_whole_configuration_is_read():
    found = config.parse(GOOD)
    assert found.stores["mongodb"] == Place(
        "mongodb",
        (Address("db1", 27017), Address("::1", 27018)),
        {"replica_set": "rs0"},
        "backup",
        SecretRef("env", "MONGODB_PASSWORD"),
    )
    assert found.stores["redis"].options["tls"] == "yes", "YAML's yes is text again"
    assert found.stores["configuration"].addresses == ()
    assert isinstance(found.repository, Place) and found.repository.password == SecretRef("file", "secret")
    assert found.recipients == ("age1xyz",)
    assert config.parse({"stores": {}, "repository": {"directory": "vault"}}).repository == "vault"


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("store",), {}, "unknown key 'store'"),
        (("stores", "postgres"), {}, "unknown key 'postgres'"),
        (("stores", "mongodb", "addresses"), ["db1"], "stores.mongodb.addresses[0]: expected host:port"),
        (("stores", "mongodb", "addresses"), ["db1:0"], "expected host:port"),
        (("stores", "mongodb", "addresses"), None, "stores.mongodb.addresses: missing"),
        (("stores", "mongodb", "password"), "CANARY", "no secret belongs into this file"),
        (("stores", "mongodb", "password"), {"env": "A", "file": "B"}, "say one of env, file and kubernetes"),
        (("stores", "mongodb", "password"), {"kubernetes": "mongodb"}, "expected NAMESPACE/NAME/KEY, not 'mongodb'"),
        (("stores", "mongodb", "user"), "", "stores.mongodb.user"),
        (("stores", "configuration", "options"), {"tls": True}, "unknown key 'tls'"),
        (("repository",), {}, "repository: say either directory or s3"),
        (("repository",), {"directory": "x", "s3": {}}, "either directory or s3"),
        (("recipients",), "age1xyz", "recipients: expected a list"),
    ],
)
def test_what_is_wrong_is_told_with_its_path(path, value, told):
    document = copy.deepcopy(GOOD)
    place = document
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    with pytest.raises(errors.SettingsError) as raised:
        config.parse(document)
    assert told in str(raised.value)
    assert "CANARY" not in str(raised.value)


def test_all_problems_are_told_at_once():
    with pytest.raises(errors.SettingsError) as raised:
        config.parse({"stores": {"mongodb": {"addresses": ["x"]}, "other": {}}, "colour": "red"})
    for told in ("colour", "other", "host:port", "repository: missing"):
        assert told in str(raised.value)
