"""Options that several commands share."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from drplatform.environment import Settings, by_region
from drplatform.model import errors

PATH = click.Path(path_type=Path)

CONTEXT = (
    "Of the kubeconfig, for the platform kubernetes; for two clusters given twice, as primary=CONTEXT and secondary=CONTEXT.  "
    "[default: its current one]"
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def told(as_json: bool, document: Mapping[str, Any], *lines: str) -> None:
    """Print the document as JSON, or the lines for people."""
    for line in [json.dumps(document, indent=2)] if as_json else lines:
        click.echo(line)


def agree(question: str) -> None:
    """Ask before destructive work. Raises NothingTouched unless somebody says yes; an end of input is no yes."""
    try:
        agreed = click.confirm(question)
    except click.Abort:
        click.echo()
        agreed = False
    if not agreed:
        raise errors.NothingTouched("Nobody agreed, so nothing was changed; answer yes, or give --yes.")


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--platform, --image, --context, --policy, --seed and --reports."""
    for option in (
        click.option("--reports", type=PATH, help="Where reports go.  [default: reports]"),
        click.option("--seed", type=click.IntRange(min=0), help="Repeats a run with the same data.  [default: random, printed]"),
        click.option("--policy", type=PATH, help="A policy in YAML.  [default: the one that comes with drplatform]"),
        click.option("--context", "contexts", multiple=True, metavar="[REGION=]CONTEXT", help=CONTEXT),
        click.option("--image", help="Of the servers, for platforms that run containers.  [default: drplatform-servers]"),
        click.option("--platform", help="Where to drill: embedded, docker or kubernetes.  [default: embedded]"),
    ):
        command = option(command)
    return command


def settings(**told: Any) -> Settings:
    """With `contexts` as they were told, none to leave them to the process environment. Raises SettingsError."""
    contexts = told.pop("contexts", ())
    return Settings.read(**told, contexts=by_region(contexts) if contexts else None)
