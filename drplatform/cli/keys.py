"""`drplatform keys rotate|escrow|recover|check|shred`: who can open the backups, today and after the worst day."""

import json
import os
from pathlib import Path

import click

from drplatform.cli import options, vault
from drplatform.engine import backups
from drplatform.engine.backups import escrow as sharing
from drplatform.engine.backups import rotation
from drplatform.environment import Environment, Vault, Where
from drplatform.model import errors
from drplatform.model.secret import Secret


@click.command()
@click.option("--to", "recipients", multiple=True, required=True, metavar="AGE1...", help="A public key that shall open the backups too.")
@click.option("--secrets", is_flag=True, help="The keys of secrets with recipients of their own, instead of all others.")
@vault.vault_options
def rotate(recipients: tuple[str, ...], secrets: bool, where: Where) -> int:
    """Wrap the keys of all backups for new recipients too. No backup is rewritten; the old private key is needed, and stays valid.

    Name the new recipient in the configuration as well, for the backups to come; then check; then shred the old key.

    \b
    drplatform keys generate --file new.txt
    drplatform keys rotate --to age1... --identity old.txt
    drplatform keys check --identity new.txt
    drplatform keys rotate --secrets --to age1... --identity both.txt
    """
    env = Environment.open(options.settings())
    env.require_log()
    at = env.vault(where)
    listing = backups.Catalogue(at.repository).read()
    _undamaged(listing.problems)
    with env.recorded("key rotation", recipients=list(recipients), secrets=secrets) as result:
        done = rotation.rewrap(listing.manifests, at.repository, _opener(at), recipients, env.clock, env.random(), secrets=secrets)
        result.update(keys=done, backups=len(listing.manifests))
    what = f"{done} keys of secrets" if secrets else f"{done} keys"
    click.echo(f"{what} of {len(listing.manifests)} backups are wrapped for {', '.join(recipients)} too.")
    return 0


@click.command()
@options.AS_JSON
@vault.vault_options
def check(as_json: bool, where: Where) -> int:
    """Say of each backup whether the private key at hand opens it: what a region that is left alone could restore.

    Exit code 1 when there is one that it does not open, or no backup at all.

    \b
    drplatform keys check --identity /keys/secondary.txt --config drplatform.yaml
    """
    at = Environment.open(options.settings()).vault(where)
    listing = backups.Catalogue(at.repository).read()
    found = rotation.check(listing.manifests, _opener(at))
    closed = [one for one in found if one.problem]
    if as_json:
        rows = [{"backup": o.backup.id, "store": o.backup.store, "opens": not o.problem, "problem": o.problem} for o in found]
        click.echo(json.dumps({"backups": rows, "problems": listing.problems}, indent=2))
    else:
        for one in closed:
            click.secho(f"{one.backup.id}  {one.problem}", fg="red")
        click.echo(f"{len(found) - len(closed)} of {len(found)} backups can be opened with this key.")
    for problem in listing.problems:
        click.secho(problem, fg="red", err=True)
    return 1 if closed or listing.problems or not found else 0


@click.command()
@click.option("--identity", "path", type=options.PATH, help="The private key to share.  [default: the one of `keys generate`]")
@click.option("--needed", type=int, default=3, show_default=True, help="So many holders together recover the key.")
@click.option("--holders", type=int, default=5, show_default=True, help="So many shares are made.")
@click.option("--to", "directory", type=options.PATH, required=True, help="A directory for the shares, one file each.")
def escrow(path: Path | None, needed: int, holders: int, directory: Path) -> int:
    """Share the private key among holders (SLIP-39): any few of them recover it together, fewer learn nothing.

    Give each file to one holder, and delete it here.

    \b
    drplatform keys escrow --needed 3 --holders 5 --to shares/
    """
    env = Environment.open(options.settings())
    env.require_log()
    identity = _only(backups.read_identities(path or env.identity_file))
    public, shares = backups.public(identity), sharing.split(identity, needed, holders)
    files = [directory / f"share-{number}-of-{holders}.txt" for number in range(1, holders + 1)]
    if taken := [file for file in files if file.exists()]:
        raise errors.SettingsError(f"{taken[0]} exists and may be a share of another key; choose another directory.")
    env.record_operation("key escrowed", recipient=public, needed=needed, holders=holders)
    for number, (file, share) in enumerate(zip(files, shares, strict=True), 1):
        head = f"# share {number} of {holders} of the private key of {public}; {needed} recover it: drplatform keys recover"
        backups.write_private(file, Secret(f"{head}\n{share.reveal()}\n"))
    click.echo(f"{holders} shares of the key of {public} are in {directory}; any {needed} recover it.")
    return 0


@click.command()
@click.argument("shares", nargs=-1, required=True, type=options.PATH)
@click.option("--file", "path", type=options.PATH, required=True, help="Where the private key goes. A file that exists is refused.")
def recover(shares: tuple[Path, ...], path: Path) -> int:
    """Put a private key together again from the files of enough holders.

    \b
    drplatform keys recover share-1-of-5.txt share-4-of-5.txt share-5-of-5.txt --file recovered.txt
    """
    env = Environment.open(options.settings())
    env.require_log()
    identity = sharing.join(_share(file) for file in shares)
    public = backups.public(identity)
    with env.recorded("key recovery", recipient=public, shares=len(shares)):
        backups.write_identity(path, identity, public)
    click.echo(f"The private key of {public} is in {path}, readable only by you.")
    return 0


@click.command()
@click.argument("path", metavar="FILE", type=options.PATH)
@click.option("--confirm", metavar="AGE1...", help="The public key of what is to be destroyed, instead of being asked.")
def shred(path: Path, confirm: str | None) -> int:
    """Destroy the private key in FILE for good: what only this key opens can never be read again.

    Copies elsewhere and shares in escrow are not reached, and a disk may keep old blocks: destroy these too.

    \b
    drplatform keys shred old.txt
    """
    env = Environment.open(options.settings())
    env.require_log()
    public = backups.public(_only(backups.read_identities(path)))
    if (confirm or click.prompt(f"What only {path} opens is lost for ever. Type its public key, {public}", default="")) != public:
        raise errors.SettingsError(f"That is not the public key of {path}; nothing was destroyed.")
    with env.recorded("key shredding", recipient=public):
        _overwrite(path)
    click.echo(f"The private key of {public} is destroyed.")
    return 0


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(os.urandom(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()


def _share(file: Path) -> Secret:
    try:
        lines = [line for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")]
    except (OSError, UnicodeDecodeError) as error:
        raise errors.SettingsError(f"The share {file} cannot be read ({type(error).__name__}).") from None
    if len(lines) != 1:
        raise errors.SettingsError(f"{file} is no share: it must hold one line of words.")
    return Secret(lines[0])


def _only(identities: tuple[Secret, ...]) -> Secret:
    if len(identities) != 1:
        raise errors.SettingsError("The file holds several private keys; give one with a single key.")
    return identities[0]


def _opener(at: Vault) -> backups.Opener:
    if at.opener is None:
        raise errors.KeyUnavailable("A private key is needed; name it with --identity.")
    return at.opener


def _undamaged(problems: tuple[str, ...]) -> None:
    if problems:
        raise errors.IntegrityError(f"Not all backups could be wrapped anew: {problems[0]}")
