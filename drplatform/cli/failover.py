"""`drplatform failover`: service moves between the regions of a platform made by hand; each move can be brought to its end after a crash."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import click

from drplatform.cli import options, progress
from drplatform.environment import Environment
from drplatform.model.replication import Replication


def _platform_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--platform-id", help="Which platform made by hand.  [default: the only one]")(command)


def _yes_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--yes", is_flag=True, help="Do not ask for approval.")(command)


@click.group("failover")
def group() -> None:
    """Move service to another region: after a disaster, as planned, and back.

    \b
    Examples:
      drplatform platform up --names --witness
      drplatform failover status
      drplatform failover start --to secondary
      drplatform failover resume
      drplatform failover rejoin primary
      drplatform failover switchover --to primary
    """


@group.command()
@_platform_option
@_yes_option
@click.option("--to", "region", required=True, help="The region that takes over.")
def start(platform_id: str | None, yes: bool, region: str) -> int:
    """The region takes over from one that is lost: detect, decide, fence, promote, point the names, see users served."""
    env = Environment.open(options.settings())
    with env.moving(platform_id, progress.Progress(), _approval(yes, region)) as moving:
        moving.fail_over(region)
    click.echo(f"The {region} region serves.")
    return 0


@group.command()
@_platform_option
@_yes_option
@click.option("--to", "region", required=True, help="The region that takes over.")
def switchover(platform_id: str | None, yes: bool, region: str) -> int:
    """The region takes over as planned, without losing an acknowledged write."""
    env = Environment.open(options.settings())
    if not yes:
        options.agree(f"Hand all stores over to the {region} region?")
    with env.moving(platform_id, progress.Progress()) as moving:
        moving.switch_over(region)
    click.echo(f"The {region} region serves.")
    return 0


@group.command()
@_platform_option
@_yes_option
@click.argument("region")
def rejoin(platform_id: str | None, yes: bool, region: str) -> int:
    """A region that was lost comes back as a follower; what it alone had is saved to the vault first, then its disks are given up."""
    env = Environment.open(options.settings())
    if not yes:
        options.agree(f"Save what the {region} region alone has, and empty it?")
    with env.moving(platform_id, progress.Progress()) as moving:
        moving.rejoin(region)
    click.echo(f"The {region} region follows.")
    return 0


@group.command()
@_platform_option
def resume(platform_id: str | None) -> int:
    """Bring a move that was cut off to its end. Every step looks first whether it is done."""
    env = Environment.open(options.settings())
    with env.moving(platform_id, progress.Progress()) as moving:
        done = moving.resume()
    click.echo(
        f"The {done.what} to the {done.region} region is at its end." if done else "No move was cut off; there is nothing to resume."
    )
    return 0


@group.command()
@_platform_option
@options.AS_JSON
def status(platform_id: str | None, as_json: bool) -> int:
    """Who serves and who follows, how far behind, and what a failover now would cost."""
    env = Environment.open(options.settings())
    with env.moving(platform_id, lambda event: None) as moving:
        seen, serving = moving.states(), moving.serving
    if as_json:
        click.echo(json.dumps({"serving": serving, "stores": [s.to_json() for s in seen]}, indent=2))
        return 0
    click.echo(f"The {serving} region serves.")
    for one in seen:
        _show(one)
    return 0


def _show(seen: Replication) -> None:
    click.secho(seen.store, bold=True)
    for member in seen.members:
        lag = "" if member.lag_seconds is None else f"{member.lag_seconds:g} s behind"
        operations = (
            "" if member.lag_operations is None else f"{member.lag_operations} {'bytes' if seen.store == 'redis' else 'operations'}"
        )
        click.echo(f"  {member.address:24} {member.role.value:12} {lag:16} {operations}".rstrip())


def _approval(yes: bool, region: str) -> Callable[[Mapping[str, float | None]], bool]:
    """Asks a person, who sees what it costs; the time that takes is part of the recovery."""

    def ask(costs: Mapping[str, float | None]) -> bool:
        known = ", ".join(f"{store} {'unknown' if cost is None else f'{cost:g} s'}" for store, cost in costs.items())
        return yes or click.confirm(f"Fail over to the {region} region? Writes that may be lost: {known}.")

    return ask
