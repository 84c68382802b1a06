"""Retention applied: what the plan lets go is deleted, manifest first, so that a prune that is killed leaves garbage and never half a backup."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from drplatform.engine.backups import holds
from drplatform.engine.backups.catalogue import manifest_key
from drplatform.model import errors, ports, retention
from drplatform.model.backup import Manifest


@dataclass(frozen=True)
class Garbage:
    """Objects that belong to no backup: left by jobs that were killed."""

    keys: tuple[str, ...]
    bytes: int


def apply(
    plan: retention.Pruning,
    repository: ports.Repository,
    deleted: Callable[[Manifest], object] = lambda manifest: None,
    held: frozenset[str] | None = None,
) -> None:
    """Delete what the plan lets go. `deleted` is told of each backup when it is gone. May be repeated, and run beside backups.

    `held` are the holds that the plan knew: a further one stops the rest, since what it needs is not known here. Raises Inconclusive.
    """
    for manifest in plan.delete:
        if held is not None and (new := holds.held(repository) - held):
            raise errors.Inconclusive(f"Backup {min(new)} was held while old backups were being deleted; the rest stays: prune again.")
        repository.delete(manifest_key(manifest.store, manifest.kind, manifest.id))
        for chunk in manifest.chunks:
            repository.delete(chunk.key)
        deleted(manifest)


def garbage(manifests: Iterable[Manifest], problems: Iterable[str], repository: ports.Repository, now: datetime) -> Garbage:
    """Objects that no manifest names and that are older than any job takes. Nothing while a manifest is damaged: it may name them."""
    if tuple(problems):
        return Garbage((), 0)
    named = {chunk.key for manifest in manifests for chunk in manifest.chunks}
    found = [info for info in _chunks(repository) if info.key not in named and now - info.modified > retention.ORPHAN_GRACE]
    return Garbage(tuple(info.key for info in found), sum(info.size for info in found))


def collect(found: Garbage, repository: ports.Repository) -> None:
    """Delete the garbage."""
    for key in found.keys:
        repository.delete(key)


def _chunks(repository: ports.Repository) -> Iterator[ports.ObjectInfo]:
    return (info for info in repository.list("") if "/chunks/" in info.key)
