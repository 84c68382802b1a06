"""`drplatform steps` and `policy`: what there is to write drills with."""

from pathlib import Path

import click

from drplatform import environment
from drplatform.cli import options
from drplatform.engine import phrases
from drplatform.model.policy import Policy


@click.command()
def steps() -> int:
    """List the sentences that features may use."""
    for phrase in phrases.PHRASES:
        click.secho(f"{phrase.keyword.capitalize():5} {phrase.pattern}", bold=True)
        click.echo(f"      {phrase.meaning}")
    return 0


@click.group()
def policy() -> None:
    """Look at a policy."""


@policy.command()
@click.argument("path", type=options.PATH, required=False)
def check(path: Path | None) -> int:
    """Check the policy at PATH (default: the one that comes with drplatform) and show its targets."""
    found = environment.load_policy(path)
    for line in _targets(found):
        click.echo(line)
    return 0


def _targets(found: Policy) -> list[str]:
    rows = [
        f"{s.name:16} RTO < {found.rto(s.name):>7g} s ({s.tier})   RPO < {found.rpo(s.name):>7g} s ({s.data_class})"
        for s in found.stores.values()
    ]
    return [f"Policy {found.name}, hash {found.hash[:12]}", *rows]
