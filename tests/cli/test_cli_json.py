"""What is asked for as JSON is JSON and nothing else, with the exit code that it has for people."""

import json

import backup_keys_cases as cases
import click
import pytest

from drplatform.cli import cli

WITHOUT = {
    "agent", "capture", "replicate", "completion", "reference", "stop", "gameday", "heal", "review", "schedule render",
    "runbook render", "report build", "platform down", "platform images build", "audit export", "evidence fetch", "access policy",
    "compliance report", "compliance action", "compliance verify", "compliance sign-off",
    "config show", "config explain", "config schema", "configuration show", "configuration check", "configuration health", "backups show",
    "backups hold", "backups release", "keys rotate", "keys escrow", "keys recover", "keys shred",
    "mongodb export", "mongodb import", "redis export", "redis import",
    "faults inject", "faults heal", "faults score",
    "failover start", "failover switchover", "failover rejoin", "failover resume",
}  # fmt: skip
"""Services, what writes files or documents of its own, what is JSON by nature, and what changes one thing and says so."""


def commands(command, path=()):
    if isinstance(command, click.Group):
        for name, sub in command.commands.items():
            yield from commands(sub, (*path, name))
    else:
        yield " ".join(path), command


def test_whatever_tells_more_than_one_thing_tells_it_as_json_too():
    without = {name for name, command in commands(cli) if not any("--json" in p.opts for p in command.params)}
    assert without == WITHOUT


@pytest.mark.parametrize(
    ("arguments", "holds"),
    [
        (["steps", "--find", "backup"], "steps"),
        (["faults", "list"], "faults"),
        (["faults", "show", "server-killed"], "parameters"),
        (["policy", "check"], "targets"),
        (["keys", "generate"], "public_key"),
        (["audit", "verify"], "records"),
        (["evidence", "verify"], "unfinished"),
        (["evidence", "keep", "--repository", "vault"], "records"),
        (["coverage"], None),
        (["gate"], "items"),
        (["compliance", "review"], "targets"),
        (["backups", "list", "--repository", "vault"], "backups"),
        (["backups", "verify", "--all", "--repository", "vault"], "backups"),
        (["backups", "prune", "--dry-run", "--repository", "vault"], "stays"),
        (["backups", "map", "memory", "--repository", "vault"], "reachable"),
    ],
    ids=lambda v: "-".join(a for a in v if a.isalpha()) if isinstance(v, list) else "",
)
def test_what_is_asked_for_as_json_is_json_and_nothing_else(home, clock, arguments, holds):
    cases.filled(home.directory / "vault", clock)
    told = home(*arguments, "--json")
    document = json.loads(told.out)
    assert holds is None or holds in document


def test_a_configuration_that_is_wrong_is_told_as_json(home):
    home.write(
        "drplatform.yaml",
        "stores: {redis: {addresses: ['127.0.0.1:1'], user: u, password: {env: NOT_SET}}}\nrepository: {directory: vault}\n",
    )
    told = home("config", "check", "drplatform.yaml", "--json")
    assert told.code == 2 and any("NOT_SET" in p for p in json.loads(told.out)["problems"])


def test_damage_is_told_as_json_with_its_exit_code(home, clock):
    cases.filled(home.directory / "vault", clock)
    chunk = next(p for p in (home.directory / "vault").rglob("*") if p.is_file() and "chunks" in p.parts)
    chunk.write_bytes(b"x" + chunk.read_bytes()[1:])
    told = home("backups", "verify", "--all", "--json", "--repository", "vault")
    states = {b["state"] for b in json.loads(told.out)["backups"]}
    assert told.code == 1 and "damaged" in states
