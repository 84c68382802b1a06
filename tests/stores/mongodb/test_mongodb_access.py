"""MongoDB as it stands in production: with accounts, and by TLS alone from clients that it knows."""

import random
import secrets
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import real_servers
from authority import Authority

from drplatform.engine import backups
from drplatform.model import errors
from drplatform.model.backup import BackupKind, chain_to
from drplatform.model.ports import Credentials, Endpoint
from drplatform.model.secret import Secret
from drplatform.repositories.memory import MemoryRepository
from drplatform.stores import mongodb
from drplatform.stores.mongodb import members
from drplatform.stores.mongodb import wire as wires

PASSWORD = "CANARY p=a,s/s"
BACKUP = ("backup", "clusterMonitor")
RESTORE = {"resource": {"anyResource": True}, "actions": ["anyAction"]}
"""What docs/mongodb.md says that the accounts need: roles for the one, a privilege for the other."""
RECIPIENT, IDENTITY = backups.generate()


class Guarded:
    """A replica set that lets nobody in without a certificate of the authority and an account."""

    def __init__(self, authority: Authority, directory: Path, number: int) -> None:
        directory.mkdir()
        key = directory / "key"
        key.write_text(secrets.token_hex(64))
        key.chmod(0o600)
        server, self.certificate = (authority.new(f"{name}-{number}", "127.0.0.1") for name in ("server", "client"))
        own, clients = _in_one_file(server, directory / "server.pem"), _in_one_file(self.certificate, directory / "client.pem")
        self.how = {"tls": True, "tlsCAFile": str(authority.ca), "tlsCertificateKeyFile": clients}
        options = [*real_servers.SPARING, "--auth", "--keyFile", str(key), "--tlsMode", "requireTLS"]
        options += ["--tlsCertificateKeyFile", own, "--tlsCAFile", str(authority.ca)]
        self.server = real_servers.start_mongodb(options, **self.how)
        with real_servers.mongodb_client(self.server.endpoint, **self.how) as client:  # the first account is made without one
            client.admin.command("createUser", "root", pwd="root", roles=["root"])

    def client(self):
        return real_servers.mongodb_client(self.server.endpoint, username="root", password="root", **self.how)

    def account(self, name: str, roles: tuple[str, ...], privileges: tuple[dict, ...] = (), password: str = PASSWORD) -> None:
        """With a role of its own, so that there are roles in the backup, too."""
        with self.client() as client:
            client.admin.command("createRole", f"of {name}", privileges=list(privileges), roles=list(roles))
            client.admin.command("createUser", name, pwd=password, roles=[f"of {name}"])

    def endpoint(self, authority: Authority, user: str) -> Endpoint:
        tls = {"tls": "yes", "tls_ca": str(authority.ca), "tls_certificate": self.certificate[0], "tls_key": self.certificate[1]}
        return replace(
            self.server.endpoint,
            options={**self.server.endpoint.options, **tls},
            credentials=Credentials(user, Secret(PASSWORD)),
        )


def _in_one_file(certificate: tuple[str, str], file: Path) -> str:
    """Certificate and key, as MongoDB wants them."""
    file.write_text("".join(Path(each).read_text() for each in certificate))
    return str(file)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"), "authority")


@pytest.fixture(scope="module")
def guarded(authority, tmp_path_factory):
    pair = [Guarded(authority, tmp_path_factory.mktemp("guarded") / str(number), number) for number in range(2)]
    pair[0].account("backup", BACKUP)
    pair[1].account("restore", (), (RESTORE,))
    yield pair
    for each in pair:
        each.server.close()


def test_a_backup_and_all_that_follows_come_back_with_the_roles_that_the_guide_names(guarded, authority, clock):
    source, repository = mongodb.connect(guarded[0].endpoint(authority, "backup"), clock), MemoryRepository()
    opener = backups.Opener((IDENTITY,))
    guarded[0].account("restore", (), (), "another password than in the target, and a role of the same name that may do nothing")
    with guarded[0].client() as client:
        client.app.things.insert_many([{"_id": n, "v": n} for n in range(3000)])
        client.app.things.create_index("v")
        client.app.command("createUser", "of the application", pwd="x", roles=["readWrite"])
        full = backups.back_up(source, BackupKind.FULL, repository, [RECIPIENT], clock, random.Random(1))
        client.app.things.update_many({"_id": {"$lt": 100}}, {"$inc": {"v": 1}})
        increment = backups.back_up(source, BackupKind.INCREMENTAL, repository, [RECIPIENT], clock, random.Random(2), opener=opener)
        client.app.command("collMod", "things", validationLevel="moderate")
        client.app.gone.insert_one({"_id": 1})
        client.app.gone.rename("kept")
        client.app.things.create_index("w", expireAfterSeconds=10**6)
        client.app.things.drop_index("v_1")
        client.admin.command("updateUser", "restore", pwd="and another")
        client.shop.orders.insert_one({"_id": 1})
        client.drop_database("shop")
        with client.start_session() as session, session.start_transaction():
            client.app.things.delete_one({"_id": 5}, session=session)
            client.app.kept.insert_one({"_id": 2}, session=session)
    stop, end, batches = threading.Event(), source.position(), []
    for batch in source.follow(increment.end, stop):
        batches += [batch] if batch.block else []
        if batch.last >= end:
            stop.set()
    backups.seal_log(
        source, source.identity(), batches, backups.DataKey.make([RECIPIENT]), [RECIPIENT], repository, clock, random.Random(3)
    )

    guarded[1].account("root of all", ("root",))
    target, lesser = (mongodb.connect(guarded[1].endpoint(authority, name), clock) for name in ("restore", "root of all"))
    chain = chain_to(backups.Catalogue(repository).read().manifests, "mongodb")
    assert (chain.base.id, len(chain.increments), len(chain.logs)) == (full.id, 1, 1)
    with pytest.raises(errors.TargetRefused, match=r"anyAction on anyResource.*Nothing was touched"):
        backups.restore(chain, lesser, repository, opener, backups.Lease("mongodb", target.identity()), clock)
    with guarded[1].client() as other:
        assert set(other.list_database_names()) == {"admin", "config", "local"}, "neither a note of the restore is left"
    restored = backups.restore(chain, target, repository, opener, backups.Lease("mongodb", target.identity()), clock)
    assert restored.reached == batches[-1].last
    kept = ("role admin.of restore", "user admin.restore")
    assert restored.left == tuple(f"{own}: as it was before the restore, which was done with it" for own in kept)
    assert target.identity(), "it is let in still"
    with guarded[0].client() as one, guarded[1].client() as other:
        for name in ("things", "kept"):
            found = [list(c.app[name].find().sort("_id")) for c in (one, other)]
            assert found[0] == found[1] and found[0], name
            assert one.app[name].index_information() == other.app[name].index_information()
        assert other.app.list_collections(filter={"name": "things"}).next()["options"]["validationLevel"] == "moderate"
        assert "shop" not in other.list_database_names()
        assert other.app.command("usersInfo", "of the application")["users"]


def test_an_account_that_may_not_see_the_note_of_a_restore_is_told_of_none(guarded, authority, clock):
    guarded[0].account("narrow", ("clusterMonitor",), ({"resource": {"db": "app", "collection": ""}, "actions": ["find"]},))
    with guarded[0].client() as client:
        client.drplatform.restoring.insert_one({"_id": "restore", "plan": "the plan", "beside": False})
        try:
            assert mongodb.connect(guarded[0].endpoint(authority, "backup"), clock).halfway() == "the plan"
            assert mongodb.connect(guarded[0].endpoint(authority, "narrow"), clock).halfway() == ""
        finally:
            client.drplatform.restoring.drop()


def test_an_account_that_sees_some_databases_alone_takes_no_backup_of_these_as_if_they_were_all(guarded, authority, clock):
    """The server lists to it those that it may read, unless it is asked for all."""
    cluster = {"resource": {"cluster": True}, "actions": ["replSetGetConfig", "replSetGetStatus", "serverStatus", "useUUID"]}
    seen = [
        {"resource": {"db": name, "collection": ""}, "actions": ["find", "listCollections", "listIndexes", "collStats"]}
        for name in ("app", "local", "config")
    ]
    guarded[0].account("some", (), (cluster, *seen))
    with guarded[0].client() as client:
        client.app.things.insert_one({"_id": "seen"})
        client.other.things.insert_one({"_id": "unseen"})
    store = mongodb.connect(guarded[0].endpoint(authority, "some"), clock)
    with pytest.raises(errors.StoreError, match=r"may not see all databases of MongoDB at .*; give it the roles"), store.dump():
        pass
    store = mongodb.connect(guarded[0].endpoint(authority, "backup"), clock)
    with store.dump() as dump:
        assert {"app.things", "other.things"} <= {collection.namespace for collection in dump.collections}


def test_what_the_server_says_of_a_refused_command_is_told_without_its_content(guarded, authority, clock):
    guarded[0].account("reader", ("readAnyDatabase",))
    with (
        members.Members(guarded[0].endpoint(authority, "reader"), clock).primary() as wire,
        pytest.raises(wires.ServerError, match="not authorized on app") as refused,
    ):
        wire.call("app", {"insert": "things", "documents": [{"_id": "CANARY"}]})
    assert "CANARY" in str(refused.value.answer) and "CANARY" not in str(refused.value)


def test_who_is_not_let_in_is_told_so_at_once_without_the_password(guarded, authority, clock, tmp_path):
    stranger = Authority(tmp_path, "stranger")
    certificate, key = stranger.new("client", "127.0.0.1")
    (tmp_path / "empty.pem").touch()
    right = guarded[0].endpoint(authority, "backup")
    plain = {name: value for name, value in right.options.items() if not name.startswith("tls")}
    elsewhere = replace(right, addresses=(replace(right.addresses[0], host="localhost"),))
    wrong = {
        "Authentication failed": replace(right, credentials=Credentials("backup", Secret(PASSWORD + "x"))),
        "certificate verify failed": replace(right, options={**right.options, "tls_ca": str(stranger.ca)}),
        "Hostname mismatch": elsewhere,
        "check tls_ca": replace(right, options={**right.options, "tls_ca": str(tmp_path / "missing.pem")}),
        "tls_certificate and tls_key": replace(right, options={**right.options, "tls_certificate": str(tmp_path / "empty.pem")}),
        "yes or no, not on": replace(right, options={**right.options, "tls": "on"}),
    }
    for told, endpoint in wrong.items():
        with pytest.raises((errors.StoreError, errors.SettingsError), match=told) as refused:
            mongodb.connect(endpoint, clock).identity()
        assert "CANARY" not in str(refused.value)
    for options in (plain, {**right.options, "tls_certificate": certificate, "tls_key": key}):  # a server that starts says no more
        with pytest.raises(errors.StoreError, match=r"is it up.*Does it want TLS, or another certificate"):
            members.Members(replace(right, options=options), clock).primary(within=1.0)
    assert mongodb.connect(right, clock).identity()
