"""File storage kept in step by the agent and by a command of its own; a replica that leads is not touched."""

import os
import threading

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from real_servers import CLOCK, s3_client

from drplatform import cli
from drplatform.engine import backups
from drplatform.environment import Environment, Settings, Where
from drplatform.model import clock as clocks


def place(endpoint, variable):
    return {
        "addresses": [str(endpoint.addresses[0])],
        "options": {"buckets": "uploads,pdfs", "region": endpoint.options["region"]},
        "user": endpoint.credentials.user,
        "password": {"env": variable},
    }


@pytest.fixture
def where(tmp_path, s3_endpoint_pair, monkeypatch):
    config = {
        "stores": {"files": place(s3_endpoint_pair[0], "PRIMARY")},
        "replicas": {"files": place(s3_endpoint_pair[1], "REPLICA")},
        "repository": {"directory": "vault"},
        "recipients": [backups.generate()[0]],
    }
    (tmp_path / "vault").mkdir()
    (tmp_path / "drplatform.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("DRPLATFORM_STATE", str(tmp_path / "state"))
    for variable, endpoint in zip(("PRIMARY", "REPLICA"), s3_endpoint_pair, strict=True):
        monkeypatch.setenv(variable, endpoint.credentials.password.reveal())
    return Where(config=tmp_path / "drplatform.yaml")


@pytest.fixture
def clients(s3_endpoint_pair):
    made = [s3_client(endpoint) for endpoint in s3_endpoint_pair]
    for client in made:
        for bucket in ("uploads", "pdfs"):
            if bucket not in [b["Name"] for b in client.list_buckets()["Buckets"]]:
                client.create_bucket(Bucket=bucket)
    return made


def keys(client):
    return [o["Key"] for o in client.list_objects_v2(Bucket="uploads").get("Contents", ()) if not o["Key"].startswith(".")]


def test_the_agent_keeps_the_replica_in_step_and_tells_its_lag(where, clients, s3_endpoint_pair):
    said = []
    agent = Environment.open(Settings.read(os.environ)).agent(where, said.append)
    running = threading.Thread(target=agent.run)
    running.start()
    try:
        clients[0].put_object(Bucket="uploads", Key="a", Body=b"1")
        clients[0].put_object(Bucket="uploads", Key="b", Body=b"2")
        clocks.wait_for(CLOCK, "both objects in the replica", lambda: keys(clients[1]) == ["a", "b"], within=60)
        clients[0].delete_object(Bucket="uploads", Key="a")
        clocks.wait_for(CLOCK, "the deletion in the replica", lambda: keys(clients[1]) == ["b"], within=60)
        (seen,) = agent.look().replications
    finally:
        agent.stop.set()
        running.join(120)
    assert not running.is_alive()
    assert [m.address for m in seen.members] == [str(e.addresses[0]) for e in s3_endpoint_pair]
    assert seen.members[1].lag_seconds < 60
    _, page = Environment.open(Settings.read(os.environ)).metrics(agent)
    lags = {
        s.labels["role"]: s.value
        for family in text_string_to_metric_families(page.decode())
        for s in family.samples
        if s.name.endswith("replica_lag_seconds")
    }
    assert set(lags) == {"primary", "secondary"}


def test_a_command_does_it_too_and_refuses_a_replica_that_leads(where, clients, capfd):
    clients[0].put_object(Bucket="uploads", Key="a", Body=b"1")
    assert cli.run(["replicate", "files", "--config", str(where.config), "--for", "3"]) == 0
    assert "was replicated up to" in capfd.readouterr().out and keys(clients[1]) == ["a"]

    def written_later():
        """Its time stamp is beyond the slack that clocks are given."""
        clients[1].put_object(Bucket="uploads", Key="written there", Body=b"new")
        modified = {o["Key"]: o["LastModified"] for client in clients for o in client.list_objects_v2(Bucket="uploads")["Contents"]}
        return (modified["written there"] - clients[0].head_object(Bucket="uploads", Key="a")["LastModified"]).total_seconds() > 3

    clocks.wait_for(CLOCK, "a later time stamp", written_later, within=30, every=0.5)
    assert cli.run(["replicate", "files", "--config", str(where.config), "--for", "3"]) == 2
    assert "uploads/written there" in capfd.readouterr().err
    assert keys(clients[1]) == ["a", "written there"], "nothing was touched"


def test_what_has_no_replica_is_said(where, clients, capfd):
    assert cli.run(["replicate", "redis", "--config", str(where.config)]) == 2
    assert "no replica of 'redis'" in capfd.readouterr().err
    document = yaml.safe_load(where.config.read_text())
    where.config.write_text(yaml.safe_dump({**document, "stores": {"redis": {"addresses": ["127.0.0.1:1"]}}}))
    assert cli.run(["config", "check", str(where.config)]) == 2
    assert "replicas.files: there is no such store" in capfd.readouterr().err
