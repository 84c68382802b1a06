"""The agent over real servers: its two pages, and its end."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from real_servers import CLOCK, free_ports

from drplatform.model import clock as clocks


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
            for impatient in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):  # as timeout(1) and people do
                agent.send_signal(impatient)
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
