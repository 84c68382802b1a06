"""Four backups, two captures, a prune and a verification at once, over real servers, each killed at random, for as long as one likes."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from importlib import resources

import pytest
import real_servers
import redis
import yaml
from real_servers import CLOCK

from drplatform.engine import backups
from drplatform.engine.audit import AuditLog
from drplatform.environment import repository
from drplatform.model.backup import BackupKind

COMMAND = [sys.executable, "-c", "from drplatform.cli import main; main()"]
WORK = (
    ("backups", "take", "mongodb", "full"),
    ("backups", "take", "mongodb", "incremental"),
    ("backups", "take", "redis", "snapshot"),
    ("backups", "take", "files", "full"),
    ("capture", "mongodb", "--for", "20"),
    ("capture", "redis", "--for", "20"),
    ("backups", "prune", "--yes"),
    ("backups", "verify", "--all"),
)
KEPT = {"full": "60s", "snapshot": "40s", "incremental": "30s", "log": "40s", "files": "50s"}
KILLED = -signal.SIGKILL


class World:
    """Commands in processes of their own, and what they promised."""

    def __init__(self, directory, endpoints):
        self.directory, self.state = directory, directory / "state"
        (directory / "vault").mkdir()
        rules = yaml.safe_load(resources.files("drplatform").joinpath("policy.yaml").read_text())
        for rule in rules["backups"]:
            rule["retention"] = KEPT.get(rule["store"], KEPT[rule["kind"]])
        (directory / "policy.yaml").write_text(yaml.safe_dump(rules))
        (directory / "drplatform.yaml").write_text(yaml.safe_dump({"stores": endpoints, "repository": {"directory": "vault"}}))
        self.variables = {
            **os.environ,
            "DRPLATFORM_STATE": str(self.state),
            "DRPLATFORM_CONFIG": str(directory / "drplatform.yaml"),
            "DRPLATFORM_POLICY": str(directory / "policy.yaml"),
        }
        self.promised, self.damaged, self.said, self.counts = set(), set(), [], {}

    def run(self, arguments, kill_after=None):
        with subprocess.Popen(
            [*COMMAND, *arguments], env=self.variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as child:
            try:
                out, err = child.communicate(timeout=kill_after or 120)
            except subprocess.TimeoutExpired:
                child.kill()
                out, err = child.communicate()
                assert kill_after, (arguments, out, err)
        return child.returncode, out, err

    def keep_doing(self, arguments, until, seed):
        """One role, again and again; a third of its processes are killed at any moment of their lives."""
        generator = random.Random(seed)
        while time.monotonic() < until:
            kill = generator.uniform(0.5, 8) if generator.random() < 0.35 else None
            code, out, err = self.run(arguments, kill)
            count = self.counts.setdefault((" ".join(arguments), code), [0])
            count[0] += 1
            if code == 0 and arguments[1] == "take":
                self.promised.add(out.split()[0])
            self.damaged |= set(re.findall(r"^(\S+)  DAMAGED", out, re.MULTILINE))
            if "defect of drplatform" in err:
                self.said.append(err)

    def pruned(self):
        records = AuditLog(self.state / "audit.jsonl").read()
        return {backup for r in records if r.get("kind") == "prune begun" for backup in r["backups"]}


@pytest.fixture
def world(tmp_path, mongodb_endpoint, redis_endpoint, s3_endpoint, monkeypatch):
    files = {
        "addresses": [str(s3_endpoint.addresses[0])],
        "options": {"buckets": "uploads,pdfs", "region": s3_endpoint.options["region"]},
        "user": s3_endpoint.credentials.user,
        "password": {"env": "FILES_PASSWORD"},
    }
    monkeypatch.setenv("FILES_PASSWORD", s3_endpoint.credentials.password.reveal())
    stores = {name: {"addresses": [str(a) for a in e.addresses]} for name, e in (("mongodb", mongodb_endpoint), ("redis", redis_endpoint))}
    made = World(tmp_path, {**stores, "files": files})
    assert made.run(("keys", "generate"))[0] == 0
    return made


def writing(mongodb, address, until):
    with real_servers.mongodb_client(mongodb) as client, redis.Redis(address.host, address.port) as cache:
        number = 0
        while time.monotonic() < until:
            number += 1
            client.shop.orders.insert_one({"_id": number, "text": "x" * 200})
            cache.set(f"order:{number}", "x" * 200)
            CLOCK.wait(threading.Event(), 0.02)


@pytest.mark.timeout(1100)
@pytest.mark.parametrize("seconds", [25, pytest.param(600, marks=pytest.mark.soak)])
def test_whatever_is_killed_the_vault_is_whole_and_nothing_promised_is_lost(world, mongodb_endpoint, redis_endpoint, s3_endpoint, seconds):
    seed = random.randrange(2**32)
    print("seed", seed)
    real_servers.s3_client(s3_endpoint).put_object(Bucket="uploads", Key="one.txt", Body=b"one")
    until = time.monotonic() + seconds
    works = [threading.Thread(target=world.keep_doing, args=(w, until, seed + n)) for n, w in enumerate(WORK)]
    works.append(threading.Thread(target=writing, args=(mongodb_endpoint, redis_endpoint.addresses[0], until)))
    for work in works:
        work.start()
    for work in works:
        work.join(seconds + 300)
        assert not work.is_alive()
    print({work: count[0] for work, count in sorted(world.counts.items())})
    assert world.said == []
    whole(world)
    for store in ("mongodb", "redis"):
        code, out, err = world.run(("capture", store, "--for", "3"))
        assert code == 0, err
        newest = max((m for m in listed(world).manifests if m.store == store and m.kind is BackupKind.LOG), key=lambda m: m.finished)
        code, out, err = world.run(("backups", "verify", newest.id, "--restore"))
        assert code == 0 and "PROVED by a restore" in out, (out, err)


def listed(world):
    return backups.Catalogue(repository(world.directory / "vault", CLOCK)).read()


def whole(world):
    """No half backups, all open with the key; what was promised is there, or was let go by the policy; the audit log holds."""
    listing = listed(world)
    assert listing.problems == () and listing.manifests
    code, out, err = world.run(("backups", "verify", "--all"))
    assert code == 0, (out, err)
    gone = world.promised - {m.id for m in listing.manifests} - world.pruned()
    assert gone == set() and world.damaged == set(), (gone, world.damaged)
    assert world.run(("evidence", "verify"))[0] == 0
    assert json.loads(world.run(("backups", "list", "--json"))[1])["problems"] == []
