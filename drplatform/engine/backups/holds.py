"""Backups that stay whatever their age, until somebody lets them go: objects `holds/<backup>` in the vault, so that every prune sees them."""

import json
from datetime import datetime

from drplatform.model import errors, ports

PREFIX = "holds/"


def place(repository: ports.Repository, backup: str, who: str, why: str, now: datetime) -> None:
    """Raises SettingsError when the backup is held already."""
    content = json.dumps({"who": who, "why": why, "when": now.isoformat()}).encode()
    try:
        repository.put(PREFIX + backup, content)
    except errors.ObjectExists as error:
        raise errors.SettingsError(f"Backup {backup} is held already; see `drplatform backups holds`.") from error


def release(repository: ports.Repository, backup: str) -> None:
    """Raises SettingsError when the backup is not held."""
    if backup not in held(repository):
        raise errors.SettingsError(f"Backup {backup} is not held; see `drplatform backups holds`.")
    repository.delete(PREFIX + backup)


def held(repository: ports.Repository) -> frozenset[str]:
    """The ids. Needs no more than a listing, so that a hold that is unreadable holds, too."""
    return frozenset(info.key.removeprefix(PREFIX) for info in repository.list(PREFIX))


def reason(repository: ports.Repository, backup: str) -> dict[str, str]:
    """Who, why and when; empty when it cannot be read."""
    try:
        found = json.loads(repository.get(PREFIX + backup))
        return {name: str(found[name]) for name in ("who", "why", "when")}
    except (ValueError, KeyError, TypeError, errors.ObjectMissing):
        return {}
