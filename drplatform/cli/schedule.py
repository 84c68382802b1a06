"""`drplatform schedule`: the policy's schedules as what runs them."""

from pathlib import Path

import click
import yaml

from drplatform.cli import options, vault
from drplatform.engine import schedule
from drplatform.environment import Environment, Where
from drplatform.model import errors
from drplatform.model.backup import BackupKind

TARGETS = ("kubernetes", "systemd", "crontab")


@click.group("schedule")
def group() -> None:
    """Have the backups of the policy run by cron, systemd or Kubernetes."""


@group.command()
@click.option("--target", type=click.Choice(TARGETS), required=True, help="What runs the jobs.")
@click.option("--policy", type=options.PATH, help="A policy in YAML.  [default: the one that comes with drplatform]")
@click.option(
    "--config", default="/etc/drplatform/drplatform.yaml", show_default=True, help="The drplatform.yaml of the jobs (crontab, systemd)."
)
@click.option("--image", default="drplatform:latest", show_default=True, help="The container image (kubernetes).")
@click.option("--namespace", default="drplatform", show_default=True, help="Where the jobs run (kubernetes).")
@click.option("--to", "directory", type=options.PATH, help="Write files below this directory instead of to standard output.")
def render(target: str, policy: Path | None, config: str, image: str, namespace: str, directory: Path | None) -> int:
    """Print the jobs that carry out the policy: backups, capture of the continuous logs, retention, verification.

    Only the stores that the --config has are in them, when that file is here: what runs the jobs starts them elsewhere, so it is named in full.

    A rule that no command carries out is told on standard error; then the exit code is 1.
    """
    env = Environment.open(options.settings(policy=policy))
    stores = None
    if Path(config).exists():
        where = Where(config=Path(config))
        env, configured = env.under(where), env.configured(where)
        stores = configured.stores.keys() if configured else None
        config = str(Path(config).absolute())
    plan = schedule.plan(env.policy, takeable(), stores)
    files = _files(target, plan, config, image, namespace)
    if directory:
        _write(directory, files)
    else:
        click.echo("\n".join(f"# {name}\n{text}" if len(files) > 1 else text for name, text in files.items()), nl=False)
    for rule in plan.left_out:
        click.secho(f"Left out, because no command does it: {rule}.", fg="yellow", err=True)
    return 1 if plan.left_out else 0


def takeable() -> frozenset[BackupKind]:
    """What `drplatform backups take` takes, as the command itself says."""
    (kind,) = (p for p in vault.take.params if p.name == "kind")
    choices = kind.type.choices if isinstance(kind.type, click.Choice) else ()
    return frozenset(BackupKind(choice) for choice in choices)


def _files(target: str, plan: schedule.Plan, config: str, image: str, namespace: str) -> dict[str, str]:
    if target == "crontab":
        return {"drplatform.crontab": schedule.crontab(plan.jobs, config)}
    if target == "systemd":
        return schedule.systemd(plan.jobs, config)
    documents = schedule.kubernetes(plan.jobs, image, namespace)
    head = "# Rendered by: drplatform schedule render --target kubernetes\n"
    return {"schedule.yaml": head + yaml.dump_all(documents, Dumper=_Plain, sort_keys=False, explicit_start=True, width=140)}


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def _write(directory: Path, files: dict[str, str]) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (directory / name).write_text(text)
    except OSError as error:
        raise errors.SettingsError(f"{error.filename} cannot be written ({error.strerror}); choose another --to.") from error
    click.echo(f"{len(files)} files are in {directory}", err=True)
