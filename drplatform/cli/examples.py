"""An example for each command whose own help has none, and walking the tree of commands. Knows no command's code."""

import re
from collections.abc import Iterator

import click

EXAMPLES = {
    "drill run": "features/monthly/database_recovery.feature",
    "heal": "",
    "coverage": "--top 5",
    "compliance verify": "--reports reports",
    "platform up": "",
    "platform status": "--json",
    "platform down": "",
    "failover start": "--to secondary",
    "failover switchover": "--to secondary",
    "failover rejoin": "primary",
    "failover resume": "",
    "failover status": "",
    "backups list": "--json",
    "backups show": "20261123T1405",
    "backups operations": "mongodb --around 2026-11-23T16:00:00Z --minutes 10",
    "backups prune": "--dry-run",
    "backups map": "mongodb --days 7",
    "capture": "mongodb --config drplatform.yaml",
    "configuration diff": "20261122T0230 20261123T0230",
    "configuration show": "20261123T0230 --to manifests/",
    "configuration check": "20261123T0230",
    "configuration health": "--config drplatform.yaml",
    "config check": "drplatform.yaml",
    "config show": "drplatform.yaml",
    "config explain": "drplatform.yaml",
    "config schema": "> drplatform.schema.json",
    "schedule render": "--target crontab",
    "keys generate": "--file /safe/place/identity.txt",
    "faults list": "",
    "faults show": "servers-lost",
    "faults heal": "",
    "stop": "--release",
    "policy check": "policy.yaml",
}


def commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command below the group with its words, in the order of the alphabet."""
    for name, command in sorted(group.commands.items()):
        words = f"{path} {name}".strip()
        if isinstance(command, click.Group):
            yield from commands(command, words)
        else:
            yield words, command


def of(command: click.Command) -> list[str]:
    """The command lines in a command's help."""
    return re.findall(r"^\s*(drplatform .+?)\s*$", f"{command.help or ''}\n{command.epilog or ''}", re.MULTILINE)


def attach(group: click.Group) -> None:
    """Put the examples below the help of the commands that have none of their own."""
    for words, command in commands(group):
        if words in EXAMPLES and not of(command):
            command.epilog = f"\b\nExample:\n  drplatform {words} {EXAMPLES[words]}".rstrip()
