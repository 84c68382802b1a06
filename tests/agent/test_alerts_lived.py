"""Alerts from the agent's own look at real servers and files: each raised by its cause, told once, and over with its cure."""

import dataclasses
import json
import os
import secrets
import threading
from datetime import UTC, datetime, timedelta

import pytest
import redis
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from prometheus_client.parser import text_string_to_metric_families
from real_servers import CLOCK, start_redis

from drplatform.engine import backups
from drplatform.environment import Environment, Settings, Where, repository
from drplatform.environment.expiries import KEYS_FOR
from drplatform.model import clock as clocks
from drplatform.model import errors
from drplatform.model.backup import BackupKind


class Shifted:
    """The machine's clock, and some time more."""

    def __init__(self):
        self.more = timedelta()

    def monotonic(self):
        return CLOCK.monotonic()

    def utc(self):
        return CLOCK.utc() + self.more

    def wait(self, event, seconds):
        return CLOCK.wait(event, seconds)


class Watched:
    """An agent that looks when it is told to, over one Redis server and a vault in a directory."""

    def __init__(self, directory, redis_server, monkeypatch):
        self.directory, self.redis = directory, redis_server
        self.clock, self.vault = Shifted(), directory / "vault"
        self.vault.mkdir()
        address = str(redis_server.endpoint.addresses[0])
        self.certificate(days=400)
        self.configure([address], "1 GiB")
        monkeypatch.setenv("DRPLATFORM_STATE", str(directory / "state"))
        self.env = dataclasses.replace(Environment.open(Settings.read(os.environ)), clock=self.clock)
        public, secret = backups.generate()
        backups.write_identity(self.env.identity_file, secret, public)
        self.agent = self.made()

    def configure(self, addresses, capacity):
        config = {
            "stores": {"redis": {"addresses": addresses, "options": {"tls_ca": "ca.pem"}}},
            "repository": {"directory": "vault"},
            "alerts": [{"kind": "log", "file": "alerts.log"}],
            "capacity": capacity,
        }
        (self.directory / "drplatform.yaml").write_text(yaml.safe_dump(config))

    def made(self):
        """The agent of the configuration as it is now, which knows what fired before."""
        return self.env.agent(Where(config=self.directory / "drplatform.yaml"), print)

    def certificate(self, days):
        key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis")])
        now = datetime.now(UTC)
        made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=days)).sign(key, hashes.SHA256())
        (self.directory / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def perform(self, name):
        """As the schedule does it, recorded. What fails is recorded, too."""
        self.agent.duties.perform(next(j for j in self.agent.duties.jobs if j.name == name))

    def back_up(self):
        self.clock.more += timedelta(seconds=2)  # a backup is named by its second
        self.perform("backup-redis-snapshot")

    def client(self):
        return redis.Redis(self.redis.endpoint.addresses[0].host, self.redis.endpoint.addresses[0].port)

    def fires(self):
        self.agent.look()
        return {(a.name, a.subject) for a in self.agent.duties.alerting.firing if a.name != "DrillOverdue"}

    def told(self):
        lines = (self.directory / "alerts.log").read_text().splitlines() if (self.directory / "alerts.log").exists() else []
        return [(n["alert"], n["state"]) for n in map(json.loads, lines) if n["alert"] != "DrillOverdue"]


@pytest.fixture
def watched(tmp_path, monkeypatch):
    server = start_redis()
    yield Watched(tmp_path, server, monkeypatch)
    server.close()


# -- causes, and their cures: each pair is run in order by one test --------------------------------------------------------------


def server_away(w):
    w.redis.kill()
    with pytest.raises(errors.StoreError):
        w.back_up()


def server_back(w):
    w.redis.start()
    clocks.wait_for(CLOCK, "Redis", w.client().ping, within=30, ignoring=(redis.RedisError,))
    w.back_up()


def hours_without(w):
    w.clock.more += timedelta(hours=3)


def grown_at_once(w):
    for _ in range(5):
        w.back_up()
    w.client().set("big", secrets.token_bytes(1_000_000))
    w.back_up()


def usual_again(w):
    w.client().delete("big")
    w.back_up()


def chunk_flipped(w):
    chunk = next(p for p in w.vault.rglob("*") if p.is_file() and "chunks" in p.parts)
    w.content = chunk, chunk.read_bytes()
    chunk.write_bytes(b"x" + w.content[1][1:])
    with pytest.raises(errors.IntegrityError):
        w.perform("verify")


def chunk_mended(w):
    chunk, content = w.content
    chunk.write_bytes(content)
    w.perform("verify")


def little_room(w):
    w.client().set("big", secrets.token_bytes(300_000))
    w.back_up()
    w.back_up()
    w.configure([str(w.redis.endpoint.addresses[0])], "1 MiB")
    w.agent = w.made()


def more_room(w):
    w.configure([str(w.redis.endpoint.addresses[0])], "2 GiB")
    w.agent = w.made()


def key_of_last_year(w):
    old = (CLOCK.utc() - KEYS_FOR + timedelta(days=3)).timestamp()
    os.utime(w.env.identity_file, (old, old))


PAIRS = {
    "BackupFailed": ("redis snapshot", server_away, server_back),
    "BackupMissed": ("redis snapshot", hours_without, Watched.back_up),
    "RecoveryPointTooOld": ("redis", hours_without, Watched.back_up),
    "BackupSizeAnomaly": ("redis snapshot", grown_at_once, usual_again),
    "BackupDamaged": (None, chunk_flipped, chunk_mended),
    "VaultFull": ("vault", little_room, more_room),
    "KeyExpires": ("the certificate ca.pem of redis", lambda w: w.certificate(days=3), lambda w: w.certificate(days=300)),
    "KeyExpires ": ("the certificate ca.pem of redis", lambda w: (w.directory / "ca.pem").unlink(), lambda w: w.certificate(days=300)),
    "KeyExpires  ": ("the key identity.txt", key_of_last_year, lambda w: os.utime(w.env.identity_file)),
}


@pytest.mark.parametrize("pair", PAIRS, ids=lambda name: name.replace(" ", "-"))
def test_an_alert_is_raised_by_its_cause_and_resolved_by_its_cure(watched, pair):
    subject, cause, cure = PAIRS[pair]
    name = pair.strip()
    watched.back_up()
    assert watched.fires() == set()
    cause(watched)
    assert [s for n, s in watched.fires() if n == name and subject in (s, None)]
    watched.fires()
    cure(watched)
    assert name not in {n for n, _ in watched.fires()}
    assert [state for n, state in watched.told() if n == name] == ["firing", "resolved"]


def test_a_store_without_any_backup_cannot_be_recovered_until_it_has_one(watched):
    assert watched.fires() == {("NoRecoveryPoint", "redis")}
    watched.back_up()
    assert watched.fires() == set()
    assert watched.told() == [("NoRecoveryPoint", "firing"), ("NoRecoveryPoint", "resolved")]


def test_a_capture_that_is_down_is_told_and_over_when_it_runs_again(watched):
    watched.agent.duties = dataclasses.replace(watched.agent.duties, watch_seconds=0.2)
    running = threading.Thread(target=watched.agent.run, daemon=True)
    running.start()
    try:
        wait(lambda: watched.agent.healthy() == "" and sealed(watched))
        watched.redis.kill()
        watched.clock.more += timedelta(minutes=2)
        wait(lambda: ("CaptureDown", "firing") in watched.told())
        watched.redis.start()
        wait(lambda: ("CaptureDown", "resolved") in watched.told())
    finally:
        watched.agent.stop.set()
        running.join(150)


def sealed(watched):
    """Whether slices of the log come into the vault."""
    watched.client().incr("written")
    return any(m.kind is BackupKind.LOG for m in backups.Catalogue(repository(watched.vault, CLOCK)).read().manifests)


def test_a_replica_that_dies_and_one_that_accepts_writes_are_told_and_over_when_they_are_mended(watched):
    second = start_redis()
    try:
        one, two = (each.endpoint.addresses[0] for each in (watched.redis, second))
        watched.back_up()
        follow = lambda: redis.Redis(two.host, two.port).replicaof(one.host, one.port)  # noqa: E731
        follow()
        watched.configure([str(one), str(two)], "1 GiB")
        watched.agent = watched.made()
        wait(lambda: not [n for n, _ in watched.fires() if n in ("ReplicaDown", "SplitBrain")])
        redis.Redis(two.host, two.port).replicaof("NO", "ONE")
        wait(lambda: ("SplitBrain", "redis") in watched.fires())
        follow()
        wait(lambda: ("SplitBrain", "redis") not in watched.fires())
        second.kill()
        wait(lambda: ("ReplicaDown", str(two)) in watched.fires())
        second.start()
        wait(lambda: redis.Redis(two.host, two.port).ping())
        follow()
        wait(lambda: ("ReplicaDown", str(two)) not in watched.fires())
    finally:
        second.close()
    states = [told for told in watched.told() if told[0] in ("SplitBrain", "ReplicaDown")]
    assert states == [("SplitBrain", "firing"), ("SplitBrain", "resolved"), ("ReplicaDown", "firing"), ("ReplicaDown", "resolved")]


def test_a_drill_that_missed_its_target_is_told_until_it_passes(watched):
    watched.back_up()
    watched.env.audit.append(drill(watched, "FAILED", 4000.0))
    assert watched.fires() == {("RecoveryObjectiveMissed", "rto redis")}
    assert overdue(watched)
    watched.env.audit.append(drill(watched, "PASSED", 40.0))
    assert watched.fires() == set() and not overdue(watched)
    watched.clock.more += timedelta(days=60)
    assert overdue(watched)


def drill(watched, verdict, upper):
    """What is read of a drill's evidence."""
    scenario = {"name": "database recovery", "source": "features/monthly/database_recovery.feature", "cadence": "monthly"}
    measured = {"name": "rto", "subject": "redis", "upper": upper, "target": 3600.0, "verdict": verdict}
    now = watched.clock.utc().isoformat()
    return {"id": verdict, "verdict": verdict, "scenario": scenario, "measurements": [measured], "begun": now, "finished": now}


def overdue(watched):
    watched.agent.look()
    return [a for a in watched.agent.duties.alerting.firing if (a.name, a.subject) == ("DrillOverdue", "database-recovery")]


def test_what_expires_when_is_a_metric(watched):
    watched.agent.look()
    page = watched.env.metrics(watched.agent)[1].decode()
    found = {s.labels["subject"]: s.value for f in text_string_to_metric_families(page) for s in f.samples if "expiry" in s.name}
    days = {name: (end - CLOCK.utc().timestamp()) / 86400 for name, end in found.items()}
    assert days == {"the certificate ca.pem of redis": pytest.approx(400, abs=0.1), "the key identity.txt": pytest.approx(365, abs=0.1)}


def wait(condition):
    clocks.wait_for(CLOCK, "what is told", condition, within=45, ignoring=(redis.RedisError,))
