"""`drplatform backups anomalies`: whether what is backed up has begun to look wrong, and which backup is the last that does not."""

import json

import click

from drplatform import detection
from drplatform.cli import options
from drplatform.cli.vault import vault_options
from drplatform.environment import Environment, Where
from drplatform.model import anomaly


@click.command()
@click.argument("store")
@click.option("--generations", type=click.IntRange(2), default=14, show_default=True, help="How many of the newest full backups.")
@options.AS_JSON
@vault_options
def anomalies(store: str, generations: int, as_json: bool, where: Where) -> int:
    """Compare the generations of backups of a STORE: encryption, mass changes, deletions, size, types. Needs a private key.

    Exit code 1 when one looks suspicious. Nothing is restored or changed.

    \b
    drplatform backups anomalies files
    drplatform backups anomalies mongodb --generations 30 --json
    """
    found = detection.examine(Environment.open(options.settings()).vault(where), store, generations)
    clean, suspicious = anomaly.last_clean(found), any(f.reasons for f in found)
    if as_json:
        click.echo(json.dumps({"store": store, "last_clean": clean, "generations": [f.to_json() for f in found]}, indent=2))
        return 1 if suspicious else 0
    for one in found:
        click.secho(f"{one.backup}  {'SUSPICIOUS' if one.reasons else 'clean'}", fg="red" if one.reasons else None)
        for reason in one.reasons:
            click.echo(f"    {reason}")
    click.echo(f"The last clean generation is {clean}." if suspicious else f"All {len(found)} generations look clean.")
    return 1 if suspicious else 0
