"""Users of Redis (ACL) by the commands: taken, proved, restored, exported; named where they are left, and no hash shown or kept in clear."""

import hashlib
import json

import pytest
import redis
import secret_scan

PASSWORD = "canary-of-a-user-5b1e"
SECRETS = {"password": PASSWORD, "hash": hashlib.sha256(PASSWORD.encode()).hexdigest()}


@pytest.fixture
def server(home, redis_endpoint, monkeypatch):
    address = redis_endpoint.addresses[0]
    stores = {"redis": {"addresses": [str(address)]}}
    file = home.write("drplatform.yaml", json.dumps({"stores": stores, "repository": {"directory": "vault"}}))
    monkeypatch.setenv("DRPLATFORM_CONFIG", str(file))
    assert home("keys", "generate").code == 0
    with redis.Redis(address.host, address.port, protocol=2) as r:
        r.set("a", 1)
        r.execute_command("ACL", "SETUSER", "worker", "on", f">{PASSWORD}", "~jobs:*", "&*", "-@all", "+get")
        yield r


def test_users_are_taken_proved_restored_and_exported(home, server, tmp_path):
    said = [home("backups", "take", "redis"), home("backups", "verify", "--all", "--restore"), home("redis", "export", tmp_path / "data")]
    assert [told.code for told in said] == [0, 0, 0], said
    assert "PROVED by a restore" in said[1].out and f"--aclfile {tmp_path / 'data' / 'users.acl'}" in said[2].out
    wanted = server.execute_command("ACL", "LIST")
    assert (tmp_path / "data" / "users.acl").read_bytes() == b"".join(line + b"\n" for line in wanted)
    server.flushall(), server.execute_command("ACL", "DELUSER", "worker")
    said.append(home("backups", "restore", "redis", "--yes"))
    assert said[-1].code == 1 and "forgotten after a restart" in said[-1].err, "this server has no file for them"
    assert server.execute_command("ACL", "LIST") == wanted and server.get("a") == b"1"
    server.flushall(), server.execute_command("ACL", "SETUSER", "worker", "-get")
    server.execute_command("ACL", "SETUSER", "stranger", "on", "nopass", "+ping")
    said.append(home("backups", "restore", "redis", "--yes", "--json"))
    document = json.loads(said[-1].out)
    assert document["refused"] == [] and [words.split(":")[0] for words in document["left"][1:]] == ["user stranger"]
    assert not secret_scan.found_in(repr(said).encode(), SECRETS)
    assert secret_scan.found_below(home.directory, SECRETS, ignoring=[tmp_path / "data"]) == {}
    assert secret_scan.found_below(tmp_path / "data", SECRETS), "planted: the scanner sees the hash where it must be"


def test_an_account_that_may_not_read_them_is_told_at_the_backup(home, server):
    server.execute_command("ACL", "SETUSER", "default", "-acl|list")
    told = home("backups", "take", "redis")
    assert told.code == 0 and "grant it +acl|list" in told.err
    server.flushall()
    told = home("backups", "restore", "redis", "--yes")
    assert told.code == 1 and "Left as it is: the users (ACL), which are not in the backup" in told.err
    assert server.get("a") == b"1"
