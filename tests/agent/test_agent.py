"""The agent over real servers: days of schedules in a minute by a scaled clock, restarts in between, and its two pages."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from real_servers import CLOCK, free_ports

from drplatform.engine import backups
from drplatform.environment import Environment, Settings, Where, repository
from drplatform.model import clock as clocks
from drplatform.model.backup import BackupKind


class Scaled:
    """A clock on which everything takes `factor` times as long."""

    def __init__(self, factor):
        self.factor, self.began, self.start = factor, time.monotonic(), datetime(2026, 3, 1, 0, 20, tzinfo=UTC)

    def monotonic(self):
        return self.began + (time.monotonic() - self.began) * self.factor

    def utc(self):
        return self.start + timedelta(seconds=(time.monotonic() - self.began) * self.factor)

    def wait(self, event, seconds):
        return event.wait(seconds / self.factor)


@pytest.fixture
def settings(tmp_path, redis_endpoint, s3_endpoint):
    """A configuration of the servers' own, with keys, in a directory of the test."""
    config = {
        "stores": {
            "redis": {"addresses": [str(redis_endpoint.addresses[0])]},
            "files": {
                "addresses": [str(s3_endpoint.addresses[0])],
                "options": {"buckets": "uploads,pdfs", "region": s3_endpoint.options["region"]},
                "user": s3_endpoint.credentials.user,
                "password": {"env": "FILES_PASSWORD"},
            },
        },
        "repository": {"directory": "vault"},
        "alerts": [{"kind": "log", "file": "alerts.log"}],
        "capacity": "1 GiB",
    }
    (tmp_path / "vault").mkdir()
    (tmp_path / "drplatform.yaml").write_text(yaml.safe_dump(config))
    variables = {"DRPLATFORM_STATE": str(tmp_path / "state"), "FILES_PASSWORD": s3_endpoint.credentials.password.reveal()}
    done = subprocess.run([*COMMAND, "keys", "generate"], env={**os.environ, **variables}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return variables


COMMAND = [sys.executable, "-c", "from drplatform.cli import main; main()"]


def agent_of(tmp_path, variables, monkeypatch, clock):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    env = dataclasses.replace(Environment.open(Settings.read(os.environ)), clock=clock)
    said = []
    agent = env.agent(Where(config=tmp_path / "drplatform.yaml"), said.append)
    return agent, said


@pytest.mark.parametrize("hours", [5, pytest.param(48, marks=pytest.mark.soak)])
def test_hours_are_lived_through_in_seconds_with_restarts(tmp_path, settings, monkeypatch, redis_endpoint, hours):
    """Each backup that the policy says, and no other, however often the agent is restarted."""
    seed = random.randrange(2**32)
    print("seed", seed)
    generator = random.Random(seed)
    clock = Scaled(700)
    end = clock.start + timedelta(hours=hours)
    restarts = sorted(clock.start + timedelta(hours=generator.uniform(0.2, hours - 0.5)) for _ in range(2))
    said = []
    for until in [*restarts, end]:
        agent, told = agent_of(tmp_path, settings, monkeypatch, clock)
        running = threading.Thread(target=agent.run)
        running.start()
        clocks.wait_for(CLOCK, "the time to come", lambda until=until: clock.utc() >= until, within=300)
        agent.stop.set()
        running.join(120)
        assert not running.is_alive()
        said += told
    listing = backups.Catalogue(repository(tmp_path / "vault", CLOCK)).read()
    assert listing.problems == ()
    due = [clock.start.replace(minute=0) + timedelta(hours=n) for n in range(1, hours + 1)]
    snapshots = Counter(
        m.started.replace(minute=0, second=0, microsecond=0)
        for m in listing.manifests
        if m.store == "redis" and m.kind is BackupKind.SNAPSHOT
    )
    missing = [moment for moment in due if moment < end - timedelta(minutes=20) and not snapshots[moment]]
    stopped = [r for r in restarts if any(abs(r - moment) < timedelta(minutes=20) for moment in due)]
    assert len(missing) <= len(stopped), (missing, restarts, said)
    fulls = [m for m in listing.manifests if m.store == "files"]
    assert len(fulls) == len([m for m in due if m.hour == 2 and m < end - timedelta(minutes=20)]) or stopped
    assert [m for m in listing.manifests if m.kind is BackupKind.LOG and m.store == "redis"], "the log is captured, too"


def test_its_pages_are_what_prometheus_and_supervisors_read(tmp_path, settings):
    """Metrics that Prometheus' own parser takes; healthy while all runs; a lost store is said, alerted, and over when it is back."""
    (port,) = free_ports(1)
    variables = {**os.environ, **settings}
    command = [*COMMAND, "agent", "--config", str(tmp_path / "drplatform.yaml"), "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as agent:
        try:
            clocks.wait_for(CLOCK, "the agent to be healthy", lambda: fetch(port, "healthz") == "ok\n", within=60, ignoring=(OSError,))
            metrics = clocks.wait_for(
                CLOCK, "a captured log", lambda: parsed(port), within=60, until=lambda m: m.get(("capture_lag_seconds", "redis"), 99) < 60
            )
        finally:
            agent.send_signal(signal.SIGTERM)
            _, said = agent.communicate(timeout=120)
    assert metrics["recovery_point_target_seconds", "redis"] == 300
    assert metrics["vault_capacity_bytes",] == 2**30
    assert agent.returncode == 130, said
    assert settings["FILES_PASSWORD"] not in said
    alerts = [json.loads(line) for line in (tmp_path / "alerts.log").read_text().splitlines()]
    assert {"NoRecoveryPoint", "DrillOverdue"} <= {a["alert"] for a in alerts}, "files has no backup yet, and no drill ever ran"


def fetch(port, page):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.1:{port}/{page}", timeout=10) as answer:
        return answer.read().decode()


def parsed(port):
    found = {}
    for family in text_string_to_metric_families(fetch(port, "metrics")):
        for sample in family.samples:
            found[(sample.name.removeprefix("drplatform_"), *sample.labels.values())] = sample.value
    return found
