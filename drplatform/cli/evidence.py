"""`drplatform evidence`: what drills have left, checked, kept in the vault and fetched from there."""

from pathlib import Path

import click

from drplatform.cli import options
from drplatform.cli.vault import vault_options
from drplatform.engine import audit
from drplatform.environment import Environment, Where
from drplatform.model import errors, evidence
from drplatform.reports import documents


@click.group("evidence")
def group() -> None:
    """The evidence that drills have left, and the audit log that holds it.

    \b
    drplatform evidence verify reports/*/*.dsse.json
    drplatform evidence keep --config drplatform.yaml
    """


@group.command("verify")
@click.argument("files", type=options.PATH, nargs=-1)
@click.option("--log", type=options.PATH, help="The audit log.  [default: this machine's]")
@click.option("--public-key", "keys", type=options.PATH, multiple=True, help="Who may have signed.  [default: this machine's signing.pub]")
@options.AS_JSON
def verify(files: tuple[Path, ...], log: Path | None, keys: tuple[Path, ...], as_json: bool) -> int:
    """Check evidence offline: signed FILES (*.dsse.json) and the hash chain of the audit log. Nothing changed, missing or moved.

    \b
    drplatform evidence verify reports/*/*.dsse.json
    drplatform evidence verify --log audit.jsonl --public-key signing.pub *.dsse.json
    """
    env = Environment.open(options.settings())
    records = env.verified_log(log)
    hashes = {record["hash"] for record in records}
    shown = []
    for file in files:
        record = env.signed_evidence(file, keys)
        if record["hash"] not in hashes:
            raise errors.IntegrityError(f"{file} is signed, but the audit log does not hold it: the log is another one, or was cut.")
        shown.append(
            {"file": str(file), "verdict": record["verdict"], "scenario": record["scenario"]["name"], "finished": record["finished"]}
        )
    last, unfinished = records[-1]["hash"] if records else "none", audit.unfinished(records)
    if as_json:
        options.told(True, {"evidence": shown, "records": len(records), "last": last, "unfinished": list(unfinished)})
        return 0
    for each in shown:
        click.echo("{file}: {verdict}, {scenario}, {finished}".format(**each))
    click.echo(f"The audit log is whole: {len(records)} records, the last {last}.")
    for attempt in unfinished:
        click.secho(f"Drill {attempt} was begun and has left no evidence: it was broken off, or still runs.", fg="yellow")
    return 0


@group.command("keep")
@options.AS_JSON
@vault_options
def keep(as_json: bool, where: Where) -> int:
    """Bring what is new of this machine's audit log, and of its signed evidence, into the vault, where nothing is ever overwritten.

    Drills do so by themselves when DRPLATFORM_CONFIG names a configuration, and the schedule does so each hour.

    \b
    drplatform evidence keep --config drplatform.yaml
    """
    kept = Environment.open(options.settings()).keep_evidence(where)
    options.told(
        as_json, vars(kept), f"The vault holds {kept.records} records of the audit log {kept.log or '(none yet)'}, {kept.new} of them new."
    )
    return 0


@group.command("fetch")
@click.argument("directory", type=options.PATH)
@click.option("--log", "name", help="The log's name in the vault.  [default: the only one]")
@vault_options
def fetch(directory: Path, name: str | None, where: Where) -> int:
    """Write an audit log and its signed evidence from the vault into a new DIRECTORY, once the chain is checked.

    \b
    drplatform evidence fetch evidence --config drplatform.yaml
    drplatform evidence verify --log evidence/audit.jsonl --public-key signing.pub evidence/*.dsse.json
    """
    if directory.exists():
        raise errors.SettingsError(f"{directory} is there already; name a new directory.")
    archive = Environment.open(options.settings()).log_archive(where)
    log = name or _only(archive.logs())
    records, signed = archive.records(log), archive.signed(log)
    if not records:
        raise errors.SettingsError(f"The vault holds no audit log {log}; it holds {', '.join(archive.logs()) or 'none'}.")
    documents.write_whole(directory / "audit.jsonl", b"".join(evidence.canonical(record) + b"\n" for record in records))
    for file, envelope in signed.items():
        documents.write_whole(directory / file, envelope)
    click.echo(f"{directory / 'audit.jsonl'}: {len(records)} records; {len(signed)} signed beside it.")
    return 0


def _only(logs: list[str]) -> str:
    if len(logs) == 1:
        return logs[0]
    if not logs:
        raise errors.SettingsError("The vault holds no audit log yet; `drplatform evidence keep` puts this machine's there.")
    raise errors.SettingsError(f"The vault holds the logs {', '.join(logs)}; name one with --log.")
