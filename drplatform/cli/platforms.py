"""`drplatform platform`: the embedded platform by hand."""

import json
from collections.abc import Iterable
from pathlib import Path

import click

from drplatform import environment
from drplatform.cli import options
from drplatform.environment import Environment, PlatformStatus
from drplatform.model import drill
from drplatform.model.ports import Endpoint

KIND = "kind"


@click.group("platform")
def group() -> None:
    """Run the embedded platform by hand: two regions and a vault as real servers on this machine."""


@group.command()
@options.AS_JSON
@click.option("--names", is_flag=True, help="With a name server, whose public names a failover points elsewhere.")
@click.option("--witness", is_flag=True, help="With a member of MongoDB in each region and one in a third place.")
@click.option(
    "--platform", type=click.Choice(("embedded", KIND)), default="embedded", show_default=True, help="kind: a cluster to drill in."
)
@click.option("--image", help="Of the servers, to bring into the cluster.  [default: drplatform-servers]")
def up(as_json: bool, names: bool, witness: bool, platform: str, image: str | None) -> int:
    """Start a platform that stays up until `drplatform platform down`, and print its endpoints.

    With --platform kind: make a Kubernetes cluster of two regions on this machine, when it has what that takes; drills then run in it.

    \b
    drplatform platform up --names
    drplatform platform up --platform kind
    """
    if platform == KIND:
        context = environment.kind_up(options.settings(image=image).image)
        click.echo(f"The cluster is up; drill in it with: drplatform drill run FEATURE --platform kubernetes --context {context}")
        return 0
    env = Environment.open(options.settings())
    wanted = {drill.NAMES: names, drill.WITNESS: witness}
    _show([env.up(frozenset(name for name, asked in wanted.items() if asked))], as_json)
    return 0


@group.command()
@options.AS_JSON
def status(as_json: bool) -> int:
    """Show the platforms that are up, whoever started them."""
    env = Environment.open(options.settings())
    _show(env.statuses(), as_json)
    return 0


@group.command()
@click.argument("platform_id", required=False)
@click.option("--platform", type=click.Choice(("embedded", KIND)), default="embedded", show_default=True, help="kind: the cluster.")
def down(platform_id: str | None, platform: str) -> int:
    """Stop the platform of that id (default: the only one) and remove everything it stored."""
    if platform == KIND:
        environment.kind_down()
        click.echo("The cluster is gone.")
        return 0
    env = Environment.open(options.settings())
    click.echo(f"Platform {env.down(platform_id)} is down, and nothing of it is left.")
    return 0


@group.group()
def images() -> None:
    """The image that the Docker platform runs its servers from."""


@images.command("build")
@click.option(
    "--tag", default=environment.IMAGE, show_default=True, help="What to call it; name it in DRPLATFORM_IMAGE when it is another."
)
@click.option(
    "--base", default="", help="The image to build on: Debian or Ubuntu with Python 3.11 to 3.13.  [default: python:3.11-slim-bookworm]"
)
@click.option("--network", default="", help="The network of the build, e.g. host, for package servers reached only from there.")
@click.option("--context", type=options.PATH, default=Path(), help="A copy of the drplatform repository.  [default: here]")
def build(tag: str, base: str, network: str, context: Path) -> int:
    """Build the image from deploy/docker/Dockerfile, with the `docker` command.

    \b
    drplatform platform images build
    drplatform platform images build --base registry.example/python:3.11 --network host
    drplatform drill run features/monthly/database_recovery.feature --platform docker
    """
    environment.build_image(context, tag, base, network)
    click.echo(f"The image {tag} is built; drill on it with: drplatform drill run FEATURE --platform docker")
    return 0


def _show(statuses: Iterable[PlatformStatus], as_json: bool) -> None:
    found = list(statuses)
    if as_json:
        click.echo(json.dumps([_document(s) for s in found], indent=2))
        return
    if not found:
        click.echo("No platform is up; start one with: drplatform platform up")
    for one in found:
        click.secho(f"Platform {one.id} ({one.kind}) in {one.directory}", bold=True)
        for server in one.servers:
            click.echo(f"  {server.name:22} {server.region:10} {server.address!s:22} {'running' if server.running else 'stopped'}")
        for name, endpoint in one.endpoints.items():
            click.echo(f"  {name:10} {_url(endpoint)}")
        if one.endpoints:
            click.echo(f"  The S3 keys are in {one.directory / 'platform.json'}, which only you can read.")


def _document(one: PlatformStatus) -> dict[str, object]:
    return {
        "id": one.id,
        "kind": one.kind,
        "directory": str(one.directory),
        "servers": [
            {"name": s.name, "kind": s.kind, "region": s.region, "address": str(s.address), "running": s.running} for s in one.servers
        ],
        "endpoints": {name: _url(endpoint) for name, endpoint in one.endpoints.items()},
    }


def _url(endpoint: Endpoint) -> str:
    """The endpoint as people paste it, without its credentials."""
    hosts = ",".join(map(str, endpoint.addresses))
    match endpoint.kind:
        case "mongodb":
            return f"mongodb://{hosts}/?replicaSet={endpoint.options['replica_set']}"
        case "files":
            return f"http://{hosts} (S3; {endpoint.options.get('buckets') or endpoint.options.get('bucket')})"
        case kind:
            return f"{kind}://{hosts}"
