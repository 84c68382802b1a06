"""The second seal of a dump's secrets: readers of their own, beside those of the backup.

Blocks of secret parts are sealed with a data key of their own, wrapped to the recipients of secrets, before they are sealed as every other
block is. The content digests of such a backup are keyed with it, too. So the backup's key alone lists, verifies and authenticates all of it, and does not show what is secret; who holds the other key
as well reads it. Stored form: the size in clear (8 bytes, big-endian), then as a chunk, bound to the chunk's own place.
"""

from collections.abc import Mapping
from dataclasses import replace

from drplatform.engine.backups import sealing
from drplatform.engine.backups.sealing import DataKey, Opener, Stored
from drplatform.model import errors
from drplatform.model.backup import ChunkRef, Digest, Manifest

_SIZE_BYTES = 8


def seal(key: DataKey, block: bytes, backup: str, part: str, number: int) -> bytes:
    """Raises StoreError for a block that could not be opened again."""
    return len(block).to_bytes(_SIZE_BYTES) + key.seal(block, _identity(backup, part, number, len(block)))


def read(opener: Opener, manifest: Manifest, ref: ChunkRef, stored: Stored) -> bytes:
    """What the store dumped, out of both seals where there are two. Raises IntegrityError or KeyUnavailable."""
    block = opener.open(manifest, ref, stored)
    secrets = manifest.secrets
    if secrets is None or ref.part not in secrets.parts:
        return block
    plain = int.from_bytes(block[:_SIZE_BYTES])
    name = f"The secret part {ref.part} of backup {manifest.id}"
    return _key(opener, manifest).open(block[_SIZE_BYTES:], _identity(manifest.id, ref.part, ref.number, plain), plain, name)


def check(opener: Opener, manifest: Manifest) -> None:
    """Raises KeyUnavailable unless the secrets of the backup can be read, where it has some."""
    if manifest.secrets:
        _key(opener, manifest)


def differing(opener: Opener, manifest: Manifest, found: Mapping[str, Digest]) -> list[str]:
    """The names of the digests of the backup that are not found so. Raises KeyUnavailable, IntegrityError."""
    return [name for name, noted in manifest.digests.items() if not _same(opener, manifest, name, noted, found.get(name))]


def _same(opener: Opener, manifest: Manifest, name: str, noted: Digest, found: Digest | None) -> bool:
    if found is None or not noted.keyed:
        return found == noted
    if manifest.secrets:
        return _key(opener, manifest).keyed(name, found) == noted
    (key_id,) = manifest.keys
    return opener.key(manifest, key_id).keyed(name, found) == noted


def turned(manifest: Manifest) -> Manifest:
    """The manifest with the key of its secrets in the place of its own, for what opens keys or wraps them anew."""
    assert manifest.secrets
    return replace(manifest, keys=manifest.secrets.keys, recipients=manifest.secrets.recipients)


def _key(opener: Opener, manifest: Manifest) -> DataKey:
    assert manifest.secrets
    (key_id,) = manifest.secrets.keys
    try:
        return opener.key(turned(manifest), key_id)
    except errors.KeyUnavailable as error:
        raise errors.KeyUnavailable(
            f"None of the private keys given opens the secrets of backup {manifest.id}; they were sealed for "
            f"{', '.join(manifest.secrets.recipients)}. Put that key into the identity file, too."
        ) from error


def _identity(backup: str, part: str, number: int, plain: int) -> bytes:
    """The stage is the backup's business: it is in the first seal."""
    return b"secret " + sealing.chunk_identity(backup, part, number, 0, plain)
