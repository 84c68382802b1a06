"""`drplatform backups verify`: whether backups are whole, and come back."""

from collections.abc import Sequence
from typing import Any

import click

from drplatform.cli import options, progress
from drplatform.cli.vault import vault_options
from drplatform.engine import backups
from drplatform.environment import Environment, Vault, Where
from drplatform.model import errors
from drplatform.model.backup import Manifest


@click.command()
@click.argument("backup_ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Verify every backup.")
@click.option(
    "--sample",
    type=click.FloatRange(0, 100, min_open=True),
    metavar="PERCENT",
    help="Read so many percent of the objects, drawn at random.",
)
@click.option("--restore", "restoring", is_flag=True, help="Also restore each into a server made for that, and compare (mongodb, redis).")
@options.AS_JSON
@vault_options
def verify(backup_ids: tuple[str, ...], everything: bool, sample: float | None, restoring: bool, as_json: bool, where: Where) -> int:
    """Check every object of the backups: present, unchanged and, with a private key, genuine and readable.

    Exit code 1 when anything is damaged, or does not come back as it was. With --sample every object is still seen to be there, with its
    size, and what the look at some of them proves is said.

    \b
    drplatform backups verify --all
    drplatform backups verify --all --sample 5
    drplatform backups verify 20261123T1405 --restore
    """
    env = Environment.open(options.settings())
    vault = env.vault(where)
    catalogue = backups.Catalogue(vault.repository)
    listing = catalogue.read()
    chosen = list(listing.manifests) if everything else [catalogue.show(i) for i in backup_ids]
    if not chosen and not listing.problems:
        raise errors.SettingsError("Nothing to verify: name backups, or say --all when there are some.")
    generator = env.random()
    results = []
    size = sum(m.stored_bytes for m in chosen) * (sample or 100) / 100
    with progress.Bytes("Verifying", round(size), env.clock) as meter:
        place = progress.Metered(vault.repository, meter.add)
        for manifest in chosen:
            some = backups.choose(manifest, sample / 100, generator) if sample else None
            results.append(backups.verify(manifest, place, vault.opener, chosen=some))
    if not as_json:
        for result in results:
            _tell(result)
    problems = listing.problems if everything else ()
    for problem in problems:
        click.secho(problem, fg="red", err=True)
    damaged = bool(problems) or any(not r.whole and not (everything and r.gone) for r in results)
    there = [m for m, result in zip(chosen, results, strict=True) if not result.gone]
    proofs = [] if not restoring or damaged else [_proof(env, vault, m, listing.manifests) for m in there]
    if as_json:
        documents = {"backups": [_document(r) for r in results], "problems": list(problems), "proofs": [_proof_document(p) for p in proofs]}
        options.told(True, documents)
    else:
        for proof in proofs:
            _tell_proof(proof)
    return 0 if not damaged and all(p.proved for p in proofs) else 1


def _tell(result: backups.Verification) -> None:
    if result.gone:
        click.echo(f"{result.backup}  gone: it was deleted meanwhile")
        return
    state = "whole" if result.whole else "DAMAGED"
    how = "opened with the key" if result.opened else "checksums only: no private key was given"
    click.secho(
        f"{result.backup}  {state}  {result.objects} objects, {result.stored_bytes:,} bytes, {how}{_sampled(result)}",
        fg=None if result.whole else "red",
    )
    for problem in result.problems:
        click.echo(f"    {problem}")


def _sampled(result: backups.Verification) -> str:
    if result.read == result.objects:
        return ""
    return f"; {result.read} of them read: fewer than {result.bound} are damaged, with 95 % confidence"


def _document(result: backups.Verification) -> dict[str, Any]:
    state = "gone" if result.gone else "whole" if result.whole else "damaged"
    return {
        "id": result.backup,
        "state": state,
        "objects": result.objects,
        "read": result.read,
        "opened": result.opened,
        "problems": list(result.problems),
    }


def _proof_document(proof: backups.Proof) -> dict[str, Any]:
    return {"id": proof.backup, "proved": proof.proved, "items": proof.items, "compared": proof.compared, "problems": list(proof.problems)}


def _proof(env: Environment, vault: Vault, manifest: Manifest, manifests: Sequence[Manifest]) -> backups.Proof:
    """Restore the backup into a scratch server, and compare."""
    if vault.opener is None:
        raise errors.KeyUnavailable("A private key is needed to restore; name it with --identity.")
    needed = backups.chain_of(manifest, manifests)
    with env.scratch(manifest.store_kind) as scratch, env.recorded("proof", store=manifest.store, backup=manifest.id) as result:
        proof = backups.prove(needed, scratch, vault.repository, vault.opener, env.clock)
        result.update(proved=proof.proved, reached=str(proof.reached))
    return proof


def _tell_proof(proof: backups.Proof) -> None:
    state = "PROVED by a restore" if proof.proved else "NOT what was backed up"
    told = f"{proof.backup}  {state}: {proof.items:,} items at {proof.reached}, {proof.compared} digests compared"
    click.secho(told, fg=None if proof.proved else "red")
    for problem in proof.problems:
        click.echo(f"    {problem}")
