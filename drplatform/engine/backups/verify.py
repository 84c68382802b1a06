"""Checks every object of a backup against its manifest; with a private key also that each opens, and that the manifest is genuine."""

import hashlib
import random
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from drplatform.engine.backups import sealing
from drplatform.engine.backups.catalogue import manifest_key
from drplatform.engine.backups.sealing import Opener, Stored
from drplatform.model import errors, ports, sampling
from drplatform.model.backup import ChunkRef, Manifest

READERS = 4


@dataclass(frozen=True)
class Verification:
    """`objects` are there, `stored_bytes` in all, and `read` of them were read; `opened` tells whether these were decrypted too.

    No problems: the backup is whole, as far as was looked. `gone`: it was deleted meanwhile, its manifest with it, as a prune does; that
    is no damage.
    """

    backup: str
    objects: int
    stored_bytes: int
    opened: bool
    problems: tuple[str, ...]
    read: int
    gone: bool = False

    @property
    def whole(self) -> bool:
        return not self.problems

    @property
    def bound(self) -> int:
        """With no problem found, fewer objects than this are damaged, with a confidence of 95 %."""
        return sampling.bound(self.objects, self.read)


def verify(
    manifest: Manifest, repository: ports.Repository, opener: Opener | None, *, chosen: frozenset[ChunkRef] | None = None
) -> Verification:
    """Read and check every object of the backup.

    With `chosen` only these chunks are read; of the others it is checked that they are there, with their size. Damage is reported, not
    raised; KeyUnavailable is raised when `opener` does not open this backup at all.
    """

    def look(ref: ChunkRef) -> None:
        stored = repository.get(ref.key)
        _require_unchanged(manifest, ref, stored)
        if opener:
            opener.open(manifest, ref, stored)

    return _verify(manifest, repository, opener, look, chosen)


def verify_seals(manifest: Manifest, repository: ports.Repository, opener: Opener, get: Callable[[ChunkRef], Stored]) -> Verification:
    """The same for who is about to open them all, and gets chunks his own way: of these the seals alone are checked.

    A seal authenticates a chunk in its place, in a fraction of the time of its checksum and of unpacking. What was damaged between being
    packed and being sealed is not found.
    """

    def look(ref: ChunkRef) -> None:
        stored = get(ref)
        try:
            opener.check(manifest, ref, stored)
        except errors.IntegrityError:
            _require_unchanged(manifest, ref, stored)  # which says more, where that is why
            raise

    return _verify(manifest, repository, opener, look, None)


def _verify(
    manifest: Manifest,
    repository: ports.Repository,
    opener: Opener | None,
    look: Callable[[ChunkRef], None],
    chosen: frozenset[ChunkRef] | None,
) -> Verification:
    if opener:
        for key_id in manifest.keys:
            opener.key(manifest, key_id)

    def check(ref: ChunkRef) -> str:
        try:
            look(ref)
        except (errors.IntegrityError, errors.ObjectMissing) as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(READERS, thread_name_prefix="verify") as pool:
        damage = [problem for problem in pool.map(check, manifest.chunks if chosen is None else chosen) if problem]
    if chosen is not None:
        damage += _absent([ref for ref in manifest.chunks if ref not in chosen], manifest, repository)
    problems = [*_manifest_problems(manifest, repository, opener), *_numbering(manifest), *damage]
    read = 1 + len(manifest.chunks if chosen is None else chosen)
    gone = bool(problems) and not any(True for _ in repository.list(manifest_key(manifest.store, manifest.kind, manifest.id)))
    return Verification(manifest.id, len(manifest.chunks) + 1, manifest.stored_bytes, opener is not None, tuple(problems), read, gone)


def choose(manifest: Manifest, share: float, generator: random.Random) -> frozenset[ChunkRef]:
    """A share (0 to 1) of the chunks, at least one, each as likely as any other."""
    count = len(manifest.chunks)
    return frozenset(sampling.choose(manifest.chunks, count, sampling.size(count, share), generator))


def _absent(refs: list[ChunkRef], manifest: Manifest, repository: ports.Repository) -> list[str]:
    """Those that are not there, or have another size, in words."""
    prefix = manifest_key(manifest.store, manifest.kind, manifest.id).removesuffix("manifest.json")
    sizes = {info.key: info.size for info in repository.list(prefix)}
    return [
        f"{ref.key} was changed: it has another size than the manifest says" if ref.key in sizes else f"{ref.key} is not there"
        for ref in refs
        if sizes.get(ref.key) != ref.stored
    ]


def _require_unchanged(manifest: Manifest, ref: ChunkRef, stored: Stored) -> None:
    if len(stored) != ref.stored or hashlib.sha256(stored).hexdigest() != ref.sha256:
        raise errors.IntegrityError(f"{ref.key} was changed: its checksum does not match the manifest; do not trust backup {manifest.id}.")


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
