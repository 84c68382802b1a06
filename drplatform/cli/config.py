"""`drplatform config`: is drplatform.yaml right, what does it say, what follows from it. Never shows a secret."""

import json
from pathlib import Path

import click

from drplatform.cli import options
from drplatform.engine import schedule
from drplatform.environment import Environment, Where
from drplatform.model import config_schema, errors
from drplatform.model.backup import BackupKind
from drplatform.model.config import Config, Place

FILE = click.argument("file", type=options.PATH, envvar="DRPLATFORM_CONFIG", default="drplatform.yaml")


@click.group("config")
def group() -> None:
    """Look at a drplatform.yaml.

    \b
    drplatform config check drplatform.yaml
    drplatform config explain
    drplatform config schema > drplatform.schema.json
    """


@group.command()
@FILE
@options.AS_JSON
def check(file: Path, as_json: bool) -> int:
    """Say everything that is wrong with FILE, its secrets' places and the policy included. Asks no server."""
    env, found = _read(file)
    problems = list(env.unresolved(Where(config=file)))
    problems += [
        f"stores.{name}: the policy names no such store, so nothing is done for it"
        for name in found.stores
        if name not in env.policy.stores
    ]
    if as_json:
        options.told(True, {"file": str(file), "problems": problems})
        return 2 if problems else 0
    for problem in problems:
        click.secho(problem, fg="red", err=True)
    if problems:
        return 2
    click.echo(f"{file} is right: {', '.join(found.stores) or 'no store'}, backups in {_repository(found)}.")
    return 0


@group.command()
@FILE
def show(file: Path) -> int:
    """Print FILE as it is understood, as JSON. Secrets are named, not shown."""
    _, found = _read(file)
    stores = {name: _document(place) for name, place in found.stores.items()}
    alerts = [{"kind": w.kind, **w.options, **{n: {s.source: s.name} for n, s in w.secrets.items()}} for w in found.alerts]
    document = {
        "stores": stores,
        "repository": _repository(found),
        "replicas": {name: _document(place) for name, place in found.replicas.items()},
        "recipients": list(found.recipients),
        "secret_recipients": list(found.secret_recipients),
        "identity": found.identity,
        "policy": found.policy,
        "alerts": alerts,
        "capacity": found.capacity,
    }
    click.echo(json.dumps(document, indent=2))
    return 0


@group.command()
@FILE
def explain(file: Path) -> int:
    """Say in words what follows from FILE and the policy: what is backed up when, how long it is kept, who can open it."""
    env, found = _read(file)
    click.echo(
        f"Backups go to {_repository(found)}, encrypted to {len(found.recipients) or 'the'} recipient{'s' if len(found.recipients) > 1 else ''}."
    )
    if found.secret_recipients:
        click.echo(f"Secrets of configuration are sealed a second time: only {', '.join(found.secret_recipients)} can read them.")
    for job in schedule.plan(env.policy, frozenset(BackupKind) - {BackupKind.LOG}, found.stores.keys()).jobs:
        click.echo(f"{job.schedule:14} {job.about}: drplatform {' '.join(job.arguments)}")
    for rule in env.policy.backups:
        if rule.store in found.stores:
            click.echo(f"{rule.store} {rule.kind.value}: kept for {rule.retention / 86400:g} days")
    for name in found.stores:
        if name in env.policy.stores:
            click.echo(f"{name}: at most {env.policy.rpo(name):,.0f} s of writes may be lost, back within {env.policy.rto(name):,.0f} s")
    return 0


@group.command()
def schema() -> int:
    """Print the JSON Schema of the file, for editors."""
    click.echo(json.dumps(config_schema.schema(), indent=2))
    return 0


def _read(file: Path) -> tuple[Environment, Config]:
    if not file.exists():
        raise errors.SettingsError(f"There is no {file}; name the configuration, or set DRPLATFORM_CONFIG.")
    env = Environment.open(options.settings()).under(Where(config=file))
    found = env.configured(Where(config=file))
    assert found
    return env, found


def _repository(found: Config) -> str:
    if isinstance(found.repository, str):
        return f"the directory {found.repository}"
    place = found.repository
    return f"the bucket {place.options.get('bucket', '?')} at {', '.join(map(str, place.addresses))}"


def _document(place: Place) -> dict[str, object]:
    password = {place.password.source: place.password.name} if place.password else None
    return {"addresses": [str(a) for a in place.addresses], "options": dict(place.options), "user": place.user, "password": password}
