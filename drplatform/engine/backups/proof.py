"""Proves a backup by restoring it: into a server made for that, compared with what was digested when it was taken."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from drplatform.engine.backups import second_seal
from drplatform.engine.backups.restore import Lease, restore
from drplatform.engine.backups.sealing import Opener
from drplatform.model import backup, errors, ports
from drplatform.model.backup import BackupKind, Chain, Manifest
from drplatform.model.clock import Clock
from drplatform.model.position import Position


@dataclass(frozen=True)
class Proof:
    """`compared` digests were taken with the backup, or of it when it was loaded, and found again. No problems: what was backed up came back."""

    backup: str
    reached: Position
    items: int
    compared: int
    problems: tuple[str, ...]

    @property
    def proved(self) -> bool:
        return not self.problems


def chain_of(manifest: Manifest, manifests: Sequence[Manifest]) -> Chain:
    """What must be restored to see this very backup: a slice of the log after other slices, and after increments where those are gone.

    Raises LogGap when something that it needs is missing.
    """
    if manifest.kind in backup.BASES or manifest.kind is BackupKind.PARTIAL:
        return Chain(manifest)
    if manifest.kind is not BackupKind.LOG:
        return backup.chain_to(manifests, manifest.store, manifest.end)
    other = [m for m in manifests if m.kind is not BackupKind.INCREMENTAL]
    with suppress(errors.LogGap):
        return backup.chain_to(other, manifest.store, manifest.end)
    before = [m for m in manifests if m.kind is BackupKind.INCREMENTAL and m.end.timeline == manifest.begin.timeline]
    return backup.chain_to([*other, *(m for m in before if m.end <= manifest.begin)], manifest.store, manifest.end)


def prove(chain: Chain, scratch: ports.DataStore, repository: ports.Repository, opener: Opener, clock: Clock) -> Proof:
    """Restore the chain into the empty store, compare, and have the server check its structures. Raises what a restore raises."""
    last = chain.backups[-1]
    choice = ports.Choice(chain.base.scope) if chain.base.scope else None
    end = restore(chain, scratch, repository, opener, Lease(last.store, scratch.identity()), clock, choice=choice)
    wrong = [f"{name} is not what was backed up" for name in second_seal.differing(opener, last, end.digests)]
    refused = [f"not restored: {each}" for each in end.refused]
    defects = scratch.validate() if isinstance(scratch, ports.Verifiable) else []
    return Proof(last.id, end.reached, sum(end.counts.values()), len(end.compared | last.digests.keys()), (*wrong, *refused, *defects))
