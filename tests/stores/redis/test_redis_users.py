"""Users (ACL) in backups and restores, between real servers; no hash of a password shows anywhere."""

import dataclasses
import hashlib
import logging
import random
import shutil

import pytest
import redis
import redis_cases as cases
import secret_scan

from drplatform.engine import backups
from drplatform.model import errors
from drplatform.model.backup import BackupKind
from drplatform.model.ports import Credentials, Endpoint
from drplatform.model.secret import Secret
from drplatform.repositories.memory import MemoryRepository
from drplatform.stores import redis as store_redis
from drplatform.stores.redis import users

RECIPIENT, IDENTITY = backups.generate()
PASSWORDS = {name: f"canary-{name}-91c7" for name in ("writer", "second", "reader", "former", "keeper", "default", "own")}
HASHES = {name: hashlib.sha256(password.encode()).hexdigest() for name, password in PASSWORDS.items()}
SECRETS = {**PASSWORDS, **{f"hash of {name}": value for name, value in HASHES.items()}}
USERS = {
    "writer": ["on", f">{PASSWORDS['writer']}", f">{PASSWORDS['second']}", "~orders:*", "~carts:*", "&news:*", "&alerts", "+@all", "-@dangerous"],
    "reader": ["on", f">{PASSWORDS['reader']}", "%R~orders:*", "%W~log:*", "-@all", "+get", "+config|get", "(~extra:* +@read -hget)", "(%R~x:* +set)"],
    "former": ["off", f">{PASSWORDS['former']}", "allkeys", "allchannels", "+@all"],
    "open": ["on", "nopass", "~public:*", "+get"],
    "ünïcode": ["on", "nopass", "-@all", "+ping"],
}  # fmt: skip


def make(endpoint: Endpoint, **more: list[str]) -> None:
    with cases.client(endpoint) as r:
        for name, rules in {**USERS, **more}.items():
            r.execute_command("ACL", "SETUSER", name, *rules)


def listed(endpoint: Endpoint, *without: str) -> set[bytes]:
    with cases.client(endpoint) as r:
        return {line for line in r.execute_command("ACL", "LIST") if line.split()[1].decode() not in without}


@pytest.fixture
def needs_selectors(redis_endpoint):
    with cases.client(redis_endpoint) as r:
        if not cases.has_functions(r):
            pytest.skip("Redis before 7 has no selectors")


@dataclasses.dataclass
class World:
    """A backup and what became of it. Everything that is told goes into `said`."""

    clock: object
    repository: MemoryRepository
    said: list[str] = dataclasses.field(default_factory=list)

    def back_up(self, endpoint):
        store = store_redis.connect(endpoint, self.clock)
        manifest = backups.back_up(store, BackupKind.SNAPSHOT, self.repository, [RECIPIENT], self.clock, random.Random(1))
        self.said.append(repr(manifest.to_json()))
        return manifest

    def restore(self, endpoint):
        target = store_redis.connect(endpoint, self.clock)
        chain, lease = backups.Catalogue(self.repository).chain_to("redis"), backups.Lease("redis", target.identity())
        end = backups.restore(chain, target, self.repository, backups.Opener([IDENTITY]), lease, self.clock)
        self.said.append(repr(end))
        return end


@pytest.fixture
def world(clock, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    one = World(clock, MemoryRepository())
    yield one
    shown = "\n".join([*one.said, caplog.text, *capfd.readouterr()]).encode()
    stored = b"\n".join(one.repository.get(key.key) for key in one.repository.list(""))
    assert one.said and stored
    assert secret_scan.found_in(shown, SECRETS) == set() == secret_scan.found_in(stored, SECRETS)
    assert secret_scan.found_in(shown + HASHES["writer"].encode(), SECRETS) == {"hash of writer"}, "planted: the scanner sees a hash"


def restarted(server, *more: str):
    """The server again, with more in its command line, and nothing on its disk but what these name."""
    server.kill()
    server.command += more
    server.start()
    with cases.client(server.endpoint) as r:
        server.wait(r.ping, redis.RedisError)


def with_acl_file(server):
    (server.directory / "acl").touch()
    restarted(server, "--aclfile", str(server.directory / "acl"))


def with_configuration(server):
    (server.directory / "redis.conf").touch()
    server.command.insert(1, str(server.directory / "redis.conf"))
    restarted(server)


@pytest.mark.parametrize("kept", [with_acl_file, with_configuration])
def test_users_come_back_and_stay_over_a_restart(redis_servers, needs_selectors, world, kept):
    source, target = redis_servers(), redis_servers()
    kept(target)
    make(source.endpoint)
    store_redis.connect(source.endpoint, world.clock).seed(1, 30)
    assert world.back_up(source.endpoint).counts["users"] == len(USERS) + 1
    end = world.restore(target.endpoint)
    assert (end.refused, end.left) == ((), ())
    wanted = listed(source.endpoint)
    assert listed(target.endpoint) == wanted and len(wanted) == len(USERS) + 1
    restarted(target)
    assert listed(target.endpoint) == wanted
    address = target.endpoint.addresses[0]
    with redis.Redis(address.host, address.port, username="writer", password=PASSWORDS["second"], protocol=2) as r:
        assert r.set("orders:1", "x")
        with pytest.raises(redis.exceptions.NoPermissionError):
            r.set("others:1", "x")


def test_a_target_that_will_forget_its_users_says_so_and_has_them_until_then(redis_endpoint_pair, needs_selectors, world):
    source, target = redis_endpoint_pair
    make(source)
    world.back_up(source)
    end = world.restore(target)
    assert end.refused == () and len(end.left) == 1 and "forgotten after a restart" in end.left[0]
    assert listed(target) == listed(source)


def test_a_target_that_cannot_keep_its_users_says_so(redis_servers, needs_selectors, tmp_path, world):
    source, target = redis_servers(), redis_servers()
    (tmp_path / "gone").mkdir(), (tmp_path / "gone/acl").touch()
    restarted(target, "--aclfile", str(tmp_path / "gone/acl"))
    shutil.rmtree(tmp_path / "gone")
    make(source.endpoint)
    world.back_up(source.endpoint)
    end = world.restore(target.endpoint)
    assert end.refused == () and len(end.left) == 1 and "(ACL SAVE: ERR)" in end.left[0]


def test_without_users_nothing_is_said_and_the_configuration_is_not_written(redis_servers, world):
    source, target = redis_servers(), redis_servers()
    with_configuration(target)
    assert world.back_up(source.endpoint).counts == {"users": 1}
    end = world.restore(target.endpoint)
    assert (end.refused, end.left) == ((), ())
    assert (target.directory / "redis.conf").read_text() == ""


def test_default_and_the_account_at_work_are_left_alone_and_named(redis_servers, needs_selectors, world):
    source, target = redis_servers(), redis_servers()
    with_acl_file(target)
    make(source.endpoint, own=["on", f">{PASSWORDS['own']}", "~*", "&*", "+@all"])
    keeper = ["on", f">{PASSWORDS['keeper']}", "~*", "&*", "+@all"]
    with cases.client(target.endpoint) as r:
        r.execute_command("ACL", "SETUSER", "own", *keeper)
    with cases.client(source.endpoint) as r:
        r.execute_command("ACL", "SETUSER", "default", "resetpass", f">{PASSWORDS['default']}")
    known = {"own": Credentials("own", Secret(PASSWORDS["own"])), "keeper": Credentials("own", Secret(PASSWORDS["keeper"]))}
    world.back_up(dataclasses.replace(source.endpoint, credentials=known["own"]))
    before = listed(target.endpoint)
    end = world.restore(dataclasses.replace(target.endpoint, credentials=known["keeper"]))
    assert end.refused == ()
    assert [words.split(":")[0] for words in end.left] == ["user default", "user own"]
    assert before <= listed(target.endpoint) and len(before) == 2
    names = {line.split()[1].decode() for line in listed(target.endpoint)}
    assert names == {*USERS, "default", "own"}


PLANTED = {
    "missing": (["ACL", "DELUSER", "writer"], "writer", "not there"),
    "another password": (["ACL", "SETUSER", "writer", f"<{PASSWORDS['second']}"], "writer", "not as in the backup"),
    "another command": (["ACL", "SETUSER", "reader", "+set"], "reader", "not as in the backup"),
    "another key": (["ACL", "SETUSER", "writer", "~more:*"], "writer", "not as in the backup"),
    "another channel": (["ACL", "SETUSER", "writer", "&more"], "writer", "not as in the backup"),
    "another selector": (["ACL", "SETUSER", "reader", "(~more:* +get)"], "reader", "not as in the backup"),
    "switched on": (["ACL", "SETUSER", "former", "on"], "former", "not as in the backup"),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_difference_is_named_by_the_user_alone(redis_endpoint_pair, needs_selectors, clock, monkeypatch, planted):
    """Somebody changes a user of the target behind the back of the restore."""
    source, target = redis_endpoint_pair
    make(source)
    command, name, words = PLANTED[planted]

    def changed(admin):
        admin.call(*command)
        return ""

    with cases.client(source) as r, store_redis.connect(source, clock)._dial() as wire, store_redis.connect(target, clock)._dial() as admin:
        wanted = users.read(wire)
        assert users.bring_back(admin, wanted, again=False).refused == ()
        assert r.execute_command("ACL", "LIST") == list(wanted.lines())
        monkeypatch.setattr(users, "_keep", changed)
        told = users.bring_back(admin, wanted, again=True)
    assert told.refused == (f"user {name}: read back, it is {words}",)
    assert secret_scan.found_in(repr((told, wanted)).encode(), SECRETS) == set()


def test_a_user_of_the_target_is_left_and_named(redis_endpoint_pair, needs_selectors, world):
    source, target = redis_endpoint_pair
    world.back_up(source)
    make(target)
    before = listed(target)
    end = world.restore(target)
    assert end.refused == () and listed(target) == before
    assert {words.split(":")[0] for words in end.left} == {f"user {name}" for name in USERS}


def test_users_that_are_there_already_are_not_written_again(redis_servers, needs_selectors, world):
    source, target = redis_servers(), redis_servers()
    make(source.endpoint), make(target.endpoint)
    world.back_up(source.endpoint)
    end = world.restore(target.endpoint)
    assert (end.refused, end.left) == ((), ())
    with cases.client(target.endpoint) as r:
        assert r.info("commandstats")["cmdstat_acl|setuser"]["calls"] == len(USERS)


def test_what_the_target_does_not_take_is_named_without_a_password(redis_endpoint_pair, needs_selectors, clock, world):
    source, target = redis_endpoint_pair
    world.back_up(source)
    odd = users.Users({
        b"odd": (b"on", b"#" + HASHES["writer"].encode(), b"-@all", b"+module.of.old"),
        b"torn": (b"on", b"#" + HASHES["writer"].encode()[:-1]),
        b"good": (b"on", b"#" + HASHES["writer"].encode(), b"-@all", b"+get"),
    })  # fmt: skip
    with store_redis.connect(target, clock)._dial() as admin:
        told = users.bring_back(admin, odd, again=False)
    world.said.append(repr(told))
    assert told.refused == ("user odd: the target does not take its rule +module.of.old", "user torn: the target does not take it (ERR)")
    assert {line.split()[1] for line in listed(target, "default")} == {b"good"}
    assert HASHES["writer"][:-1] not in repr(told)


def test_an_account_that_may_not_read_users_has_them_left_out_and_said(redis_servers, tmp_path, world):
    source, target = redis_servers(), redis_servers()
    with cases.client(source.endpoint) as r:
        r.set("a", 1)
        r.execute_command("ACL", "SETUSER", "keeper", "on", f">{PASSWORDS['keeper']}", "resetkeys", "-@all", "+psync", "+replconf", "+info")
    weak = dataclasses.replace(source.endpoint, credentials=Credentials("keeper", Secret(PASSWORDS["keeper"])))
    assert world.back_up(weak).counts == {"users not readable": 1, "db0": 1}
    end = world.restore(target.endpoint)
    assert end.refused == () and len(end.left) == 1 and "the account may not read them" in end.left[0]
    assert {line.split()[1] for line in listed(target.endpoint)} == {b"default"}
    end = world.restore(Endpoint("redis", options={"directory": str(tmp_path)}))
    assert end.refused == () and len(end.left) == 1 and not (tmp_path / users.FILE).exists()


def test_an_account_that_may_not_set_users_names_each(redis_servers, needs_selectors, world):
    source, target = redis_servers(), redis_servers()
    make(source.endpoint)
    world.back_up(source.endpoint)
    with cases.client(target.endpoint) as r:
        rights = ["on", f">{PASSWORDS['keeper']}", "~*", "&*", "+@all", "-acl", "+acl|whoami", "+acl|dryrun"]
        r.execute_command("ACL", "SETUSER", "keeper", *rights)
        weak = dataclasses.replace(target.endpoint, credentials=Credentials("keeper", Secret(PASSWORDS["keeper"])))
        end = world.restore(weak)
        assert len(end.refused) == len(USERS) and all("+acl|list" in words for words in end.refused)
        r.execute_command("ACL", "SETUSER", "keeper", "+acl|list"), r.flushall()
        end = world.restore(weak)
    assert sorted(end.refused) == sorted(f"user {name}: the target does not take it (NOPERM)" for name in USERS)


def test_a_backup_without_users_is_restored_as_before(redis_servers, clock):
    source, target = redis_servers(), redis_servers()
    make(target.endpoint, reader=["on"])
    store_redis.connect(source.endpoint, clock).seed(1, 20)
    before = listed(target.endpoint)
    end = cases.restored(store_redis.connect(target.endpoint, clock), cases.snapshot(store_redis.connect(source.endpoint, clock))[0])
    assert (end.refused, end.left) == ((), ()) and listed(target.endpoint) == before


@pytest.mark.parametrize("aof", ["parts", "single"])
def test_a_directory_gets_a_file_that_a_server_reads(redis_servers, needs_selectors, tmp_path, world, aof):
    source, stock = redis_servers(), redis_servers()
    make(source.endpoint)
    with cases.client(source.endpoint) as r:
        r.set("a", 1)
    world.back_up(source.endpoint)
    end = world.restore(Endpoint("redis", options={"directory": str(tmp_path), "aof": aof}))
    assert (end.refused, end.left) == ((), ())
    assert (tmp_path / users.FILE).stat().st_mode & 0o777 == 0o600
    stock.command[stock.command.index("--dir") + 1] = str(tmp_path)
    restarted(stock, "--aclfile", users.FILE)
    assert listed(stock.endpoint) == listed(source.endpoint)
    with cases.client(stock.endpoint) as r:
        assert r.get("a") == b"1"


def test_a_directory_with_users_of_somebody_is_refused_untouched(redis_endpoint, tmp_path, world):
    world.back_up(redis_endpoint)
    (tmp_path / users.FILE).write_text("somebody's")
    with pytest.raises(errors.TargetRefused, match=r"users\.acl"):
        world.restore(Endpoint("redis", options={"directory": str(tmp_path)}))
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(users.FILE, "somebody's")]


def test_a_part_that_is_none_is_refused_without_being_shown():
    for damaged in (
        b"",
        b"[]",
        b'{"users": ["%s"], "unreadable": ""}' % HASHES["writer"].encode(),
        b'{"users": ["user a (~x"], "unreadable": ""}',
    ):
        with pytest.raises(errors.IntegrityError, match="do not trust this backup") as refused:
            users.Users.of([damaged])
        assert secret_scan.found_in(repr(refused.value).encode(), SECRETS) == set()


def test_versions_write_the_same_rights_differently():
    older = (b"on", b"#" + b"a" * 64, b"~b", b"~a", b"&*", b"-@all", b"+get", b"+set")
    newer = (b"on", b"sanitize-payload", b"#" + b"a" * 64, b"~a", b"~b", b"&*", b"alldbs", b"-@all", b"+get", b"+set")
    assert users._same(older, newer)
    assert not users._same(older, newer[:-1]) and not users._same(older, (*newer, b"~c")) and not users._same(older, None)
    assert not users._same((b"+@all", b"-get"), (b"-get", b"+@all"))


def test_a_restore_to_a_moment_has_the_users_of_its_snapshot(redis_servers, needs_selectors, clock):
    source, target = (store_redis.connect(redis_servers().endpoint, clock) for _ in range(2))
    make(source.endpoint)
    with source.dump() as dump:
        parts = {part.name: list(part.blocks()) for part in dump.parts()}
        end = dump.finish().end
    wanted = listed(source.endpoint)
    with cases.Capture(source, end, clock) as capture, cases.client(source.endpoint) as r:
        r.execute_command("ACL", "DELUSER", "writer")
        marks = cases.write(source, "c", range(20))
        capture.upto_now()
    with target.restore() as restore:
        for name, blocks in parts.items():
            restore.load(BackupKind.SNAPSHOT, name, iter(blocks))
        restore.loaded()
        restore.replay(iter([capture.log]), None)
        assert restore.finish().refused == ()
    assert list(target.marks()) == marks and listed(target.endpoint) == wanted


LOST = {
    "a user is gone": ["ACL", "DELUSER", "writer"],
    "one more": ["ACL", "SETUSER", "more", "on"],
    "another password": ["ACL", "SETUSER", "writer", f"<{PASSWORDS['second']}", f">{PASSWORDS['reader']}"],
    "another right": ["ACL", "SETUSER", "reader", "+set"],
    "switched on": ["ACL", "SETUSER", "former", "on"],
}


@pytest.mark.parametrize("planted", LOST)
def test_the_digest_sees_a_user_that_is_not_as_before(redis_endpoint_pair, needs_selectors, clock, planted):
    """What a drill compares; the users' own reading back, which a restore does, is not asked here."""
    source, target = (store_redis.connect(endpoint, clock) for endpoint in redis_endpoint_pair)
    source.seed(1, 20), target.seed(1, 20)
    make(source.endpoint), make(target.endpoint)
    wanted = source.digest()
    assert wanted["users"].items == len(USERS) and target.digest() == wanted
    with cases.client(target.endpoint) as r:
        r.execute_command(*LOST[planted])
    found = target.digest()
    assert found["users"] != wanted["users"] and {**found, "users": None} == {**wanted, "users": None}
    assert secret_scan.found_in(repr(found).encode(), SECRETS) == set()


def test_the_digest_leaves_out_those_whom_a_restore_leaves_alone(redis_endpoint, clock):
    with cases.client(redis_endpoint) as r:
        r.execute_command("ACL", "SETUSER", "own", "on", f">{PASSWORDS['own']}", "~*", "&*" if cases.has_functions(r) else "~*", "+@all")
    assert "users" in store_redis.connect(redis_endpoint, clock).digest()
    own = dataclasses.replace(redis_endpoint, credentials=Credentials("own", Secret(PASSWORDS["own"])))
    assert "users" not in store_redis.connect(own, clock).digest()


def test_a_restore_that_loses_a_user_has_another_digest_than_the_source(redis_servers, needs_selectors, world, monkeypatch):
    source, target = redis_servers(), redis_servers()
    make(source.endpoint)
    world.back_up(source.endpoint)
    real = users._compared
    monkeypatch.setattr(users, "_compared", lambda *seen: dataclasses.replace(real(*seen), refused=()))  # the reading back is blind
    monkeypatch.setattr(users, "_set", lambda admin, name, rules: "" if name == b"writer" else "no")
    wanted, end = store_redis.connect(source.endpoint, world.clock).digest(), world.restore(target.endpoint)
    assert end.refused == () and end.digests != wanted
