"""Looks into a backup without restoring it: its parts, each as the blocks that the store dumped."""

from collections.abc import Iterator
from itertools import groupby

from drplatform.engine.backups import second_seal
from drplatform.engine.backups.sealing import Opener
from drplatform.engine.backups.verify import verify
from drplatform.model import errors, ports
from drplatform.model.backup import ChunkRef, Manifest

Part = tuple[str, Iterator[bytes]]


def parts(manifest: Manifest, repository: ports.Repository, opener: Opener, *, lazily: bool = False) -> list[Part]:
    """Name and blocks of every part, checked before the first is given. Blocks are fetched and opened as they are taken.

    `lazily`: beforehand only the manifest is authenticated, and every object seen to be there; each is authenticated as it is taken.
    Raises IntegrityError with all that is wrong, or KeyUnavailable.
    """
    outcome = verify(manifest, repository, opener, chosen=frozenset() if lazily else None)
    if not outcome.whole:
        raise errors.IntegrityError(f"Backup {manifest.id} is not whole: {'; '.join(outcome.problems[:5])}")
    ordered = sorted(manifest.chunks, key=lambda c: (c.stage, c.part, c.number))
    return [(name, _blocks(manifest, tuple(refs), repository, opener)) for name, refs in groupby(ordered, key=lambda c: c.part)]


def sealed(manifest: Manifest, opener: Opener) -> frozenset[str]:
    """The sections (first words of their parts' names) whose second seal the opener does not open. Raises IntegrityError."""
    try:
        second_seal.check(opener, manifest)
    except errors.KeyUnavailable:
        assert manifest.secrets
        return frozenset(part.partition("/")[0] for part in manifest.secrets.parts)
    return frozenset()


def _blocks(manifest: Manifest, refs: tuple[ChunkRef, ...], repository: ports.Repository, opener: Opener) -> Iterator[bytes]:
    for ref in refs:
        yield second_seal.read(opener, manifest, ref, repository.get(ref.key))
