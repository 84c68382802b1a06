"""`drplatform config`: what is wrong is said, what follows is explained, no secret shows; the schema agrees with the reader."""

import json
from importlib import resources
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from drplatform import cli
from drplatform.environment import Environment, Settings, Where
from drplatform.model import config, config_schema, errors

GOOD = {
    "stores": {
        "mongodb": {"addresses": ["db:27017"], "options": {"replica_set": "rs0"}, "user": "b", "password": {"env": "MONGODB_PASSWORD"}},
        "redis": {"addresses": ["cache:6379"], "options": {"tls": True}},
        "configuration": {"options": {"directory": "etc"}},
    },
    "repository": {"s3": {"addresses": ["s3:9000"], "options": {"bucket": "b"}, "user": "a", "password": {"file": "s3.key"}}},
    "recipients": ["age1xyz"],
    "alerts": [{"kind": "log"}, {"kind": "webhook", "url": {"env": "HOOK"}}],
    "capacity": "500 GiB",
}
BAD = [
    {**GOOD, "storse": {}},
    {**GOOD, "stores": {"oracle": {}}},
    {**GOOD, "stores": {"redis": {"addresses": ["cache"]}}},
    {**GOOD, "stores": {"redis": {"addresses": ["cache:1"], "options": {"speed": "high"}}}},
    {**GOOD, "stores": {"redis": {"addresses": ["cache:1"], "user": "x"}}},
    {**GOOD, "stores": {"redis": {"addresses": ["cache:1"], "user": "x", "password": "plain"}}},
    {**GOOD, "repository": {"directory": "a", "s3": {}}},
    {**GOOD, "alerts": [{"kind": "pigeon"}]},
    {**GOOD, "alerts": [{"kind": "webhook", "url": "https://plain"}]},
    {"stores": {}},
]


def run(tmp_path, *words, document=GOOD):
    (tmp_path / "drplatform.yaml").write_text(yaml.safe_dump(document))
    return cli.run(["config", *words, str(tmp_path / "drplatform.yaml")])


def test_the_schema_takes_what_the_reader_takes_and_refuses_what_it_refuses():
    validator = Draft202012Validator(config_schema.schema())
    Draft202012Validator.check_schema(config_schema.schema())
    assert validator.is_valid(GOOD) and config.parse(GOOD).capacity == 500 * 2**30
    for document in BAD:
        assert not validator.is_valid(document), document
        with pytest.raises(errors.SettingsError):
            config.parse(document)


def test_what_is_missing_is_said_all_at_once(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("MONGODB_PASSWORD", raising=False)
    monkeypatch.delenv("HOOK", raising=False)
    assert run(tmp_path, "check") == 2
    told = capsys.readouterr().err
    assert "MONGODB_PASSWORD" in told and "s3.key" in told and "HOOK" in told


def test_a_right_one_is_right_and_shows_no_secret(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MONGODB_PASSWORD", "canary-5e1")
    monkeypatch.setenv("HOOK", "https://hook/canary-5e1")
    (tmp_path / "s3.key").write_text("canary-5e1")
    assert run(tmp_path, "check") == 0
    assert run(tmp_path, "show") == 0
    assert run(tmp_path, "explain") == 0
    said = capsys.readouterr()
    assert "canary-5e1" not in said.out + said.err
    assert '"env": "MONGODB_PASSWORD"' in said.out and "continuous log of mongodb" in said.out and "kept for 30 days" in said.out


def test_no_file_is_said(tmp_path, capsys):
    assert cli.run(["config", "check", str(tmp_path / "none.yaml")]) == 2
    assert "There is no" in capsys.readouterr().err


def test_the_schema_is_printed(capsys):
    assert cli.run(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "drplatform configuration"


def test_the_published_schema_is_the_one_that_is_read():
    """Made by: drplatform config schema > docs/drplatform.schema.json"""
    published = json.loads((Path(__file__).parents[2] / "docs/drplatform.schema.json").read_text())
    assert published == config_schema.schema()


def test_the_policy_that_the_configuration_names_is_the_one_that_is_applied_unless_another_is_told(tmp_path, capsys, monkeypatch):
    rules = yaml.safe_load(resources.files("drplatform").joinpath("policy.yaml").read_text())
    for days, name in ((3, "own.yaml"), (5, "other.yaml")):
        for rule in rules["backups"]:
            rule["retention"] = f"{days}d"
        (tmp_path / name).write_text(yaml.safe_dump(rules))
    document = {**GOOD, "policy": "own.yaml"}
    assert run(tmp_path, "explain", document=document) == 0
    assert "redis snapshot: kept for 3 days" in capsys.readouterr().out
    monkeypatch.setenv("DRPLATFORM_POLICY", str(tmp_path / "other.yaml"))
    assert run(tmp_path, "explain", document=document) == 0
    assert "redis snapshot: kept for 5 days" in capsys.readouterr().out
    monkeypatch.delenv("DRPLATFORM_POLICY")
    (tmp_path / "own.yaml").unlink()
    assert run(tmp_path, "explain", document=document) != 0
    assert "own.yaml" in capsys.readouterr().err


def test_schedules_and_retention_go_by_the_policy_of_the_configuration(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("DRPLATFORM_STATE", str(tmp_path / "state"))
    rules = yaml.safe_load(resources.files("drplatform").joinpath("policy.yaml").read_text())
    for rule in rules["backups"]:
        if rule["kind"] == "snapshot":
            rule["schedule"] = "17 * * * *"
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(rules))
    document = {**GOOD, "repository": {"directory": "vault"}, "policy": "own.yaml"}
    (tmp_path / "drplatform.yaml").write_text(yaml.safe_dump(document))
    config_file = str(tmp_path / "drplatform.yaml")
    cli.run(["schedule", "render", "--target", "crontab", "--config", config_file])
    rendered = capsys.readouterr().out
    assert "17 * * * *" in rendered and f"--config {config_file}" in rendered
    assert {line.split()[8] for line in rendered.splitlines() if " backups take " in line} == set(GOOD["stores"])
    monkeypatch.chdir(tmp_path)
    cli.run(["schedule", "render", "--target", "crontab", "--config", "drplatform.yaml"])
    assert capsys.readouterr().out == rendered, "what runs the jobs starts them elsewhere"
    env = Environment.open(Settings.read({"DRPLATFORM_STATE": str(tmp_path / "state")}))
    assert env.under(Where(config=Path(config_file))).policy.hash != env.policy.hash == env.under(Where()).policy.hash
