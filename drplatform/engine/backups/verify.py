"""Checks every object of a backup against its manifest; with a private key also that each opens, and that the manifest is genuine."""

import hashlib
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from drplatform.engine.backups import sealing
from drplatform.engine.backups.sealing import Opener
from drplatform.engine.backups.writer import manifest_key
from drplatform.model import errors, ports
from drplatform.model.backup import ChunkRef, Manifest

READERS = 4


@dataclass(frozen=True)
class Verification:
    """`objects` were read, `stored_bytes` in all; `opened` tells whether they were decrypted too. No problems: the backup is whole."""

    backup: str
    objects: int
    stored_bytes: int
    opened: bool
    problems: tuple[str, ...]

    @property
    def whole(self) -> bool:
        return not self.problems


Found = Callable[[ChunkRef, bytes], None]


def verify(
    manifest: Manifest, repository: ports.Repository, opener: Opener | None, found: Found = lambda ref, stored: None
) -> Verification:
    """Read and check every object of the backup. `found` is handed each sound chunk as stored.

    Damage is reported, not raised; KeyUnavailable is raised when `opener` does not open this backup at all.
    """
    if opener:
        for key_id in manifest.keys:
            opener.key(manifest, key_id)

    def check(ref: ChunkRef) -> str:
        try:
            found(ref, _sound(manifest, ref, repository, opener))
        except (errors.IntegrityError, errors.ObjectMissing) as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(READERS, thread_name_prefix="verify") as pool:
        damage = [problem for problem in pool.map(check, manifest.chunks) if problem]
    problems = [*_manifest_problems(manifest, repository, opener), *_numbering(manifest), *damage]
    return Verification(manifest.id, len(manifest.chunks) + 1, manifest.stored_bytes, opener is not None, tuple(problems))


def _sound(manifest: Manifest, ref: ChunkRef, repository: ports.Repository, opener: Opener | None) -> bytes:
    stored = repository.get(ref.key)
    if len(stored) != ref.stored or hashlib.sha256(stored).hexdigest() != ref.sha256:
        raise errors.IntegrityError(f"{ref.key} was changed: its checksum does not match the manifest; do not trust backup {manifest.id}.")
    if opener:
        opener.open(manifest, ref, stored)
    return stored


def _manifest_problems(manifest: Manifest, repository: ports.Repository, opener: Opener | None) -> list[str]:
    key = manifest_key(manifest.store, manifest.kind, manifest.id)
    try:
        packed = sealing.unpack_manifest(repository.get(key), key)
        if packed.manifest != manifest:
            return [f"{key} is not the manifest that was listed: it was replaced in the meantime"]
        if opener:
            opener.authenticate(packed)
    except (errors.IntegrityError, errors.ObjectMissing) as error:
        return [str(error)]
    return []


def _numbering(manifest: Manifest) -> list[str]:
    """Every part has the chunks 0, 1, 2 ... once each, in one stage, and no object stands twice."""
    parts: defaultdict[str, list[ChunkRef]] = defaultdict(list)
    for ref in manifest.chunks:
        parts[ref.part].append(ref)
    wrong = [name for name, refs in parts.items() if sorted(r.number for r in refs) != list(range(len(refs)))]
    wrong += [name for name, refs in parts.items() if len({r.stage for r in refs}) > 1]
    problems = [f"the part {name} of backup {manifest.id} lacks a chunk or has one twice" for name in dict.fromkeys(wrong)]
    if len({ref.key for ref in manifest.chunks}) != len(manifest.chunks):
        problems.append(f"backup {manifest.id} names an object twice")
    return problems
