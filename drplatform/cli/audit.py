"""`drplatform audit`: the log of all that was done, checked and handed on."""

import json
import platform as machine
from pathlib import Path

import click

from drplatform.cli import options
from drplatform.engine import audit_export
from drplatform.environment import Environment, Where

LOG = click.option("--log", type=options.PATH, help="The audit log.  [default: this machine's]")


@click.group("audit")
def group() -> None:
    """The audit log: who did what, when, with what result. Each record is chained to the one before it by its hash.

    \b
    drplatform audit verify
    drplatform audit export --format syslog
    """


@group.command()
@LOG
@click.option("--expect", metavar="HASH", help="A hash that was noted elsewhere; the log must still hold it. Finds a log cut at its end.")
@click.option("--config", type=options.PATH, envvar="DRPLATFORM_CONFIG", help="A drplatform.yaml: its vault's copy is compared.")
@options.AS_JSON
def verify(log: Path | None, expect: str | None, config: Path | None, as_json: bool) -> int:
    """Check that no record was changed, moved or removed. Exit code 1 when one was.

    A log that was cut at its end is still a chain: the vault's copy tells (--config), or a hash that was noted elsewhere (--expect).

    \b
    drplatform audit verify
    drplatform audit verify --config drplatform.yaml
    drplatform audit verify --log audit.jsonl --expect 3f9a...
    """
    env = Environment.open(options.settings())
    records = env.verified_log(log)
    kept = env.log_archive(Where(config=config)).compare(lambda: env.verified_log(log)) if config else None
    last = str(records[-1]["hash"]) if records else ""
    held = expect is None or any(record["hash"] == expect for record in records)
    if as_json:
        found = {"records": len(records), "last": last, "whole": held}
        click.echo(json.dumps(found | ({"kept": kept.records} if kept else {}), indent=2))
    elif held:
        click.echo(f"The audit log is whole: {len(records)} records, the last {last or 'none'}.")
    if kept and not as_json:
        click.echo(
            f"The vault holds the first {kept.records} of them, all the same." if kept.records else "The vault holds none of this log."
        )
    if not held:
        click.secho(f"The audit log does not hold {expect}: it was cut, or it is another one.", fg="red", err=True)
    return 0 if held else 1


@group.command()
@LOG
@click.option("--format", "form", type=click.Choice(["jsonl", "syslog"]), default="jsonl", show_default=True)
def export(log: Path | None, form: str) -> int:
    """Print the log, once it is verified, a line a record: as JSON, or for syslog (RFC 5424, facility log audit).

    \b
    drplatform audit export --format syslog > audit.syslog
    """
    records = Environment.open(options.settings()).verified_log(log)
    lines = audit_export.json_lines(records) if form == "jsonl" else audit_export.syslog(records, machine.node())
    for line in lines:
        click.echo(line)
    return 0
