"""How a chunk is sealed, and opened again.

Stored form of a chunk: a random 96-bit nonce, then AES-256-GCM over the zstd-compressed plaintext (in a frame that has the plaintext's
checksum, so that what is opened is what was sealed and not only what was made of it), with the chunk's identity (format,
backup, part, number, stage, plain size) as associated data, so that a chunk in another's place does not open. Stored form of a
manifest: a JSON envelope of its canonical body, the SHA-256 of the body, which anybody can check, and an HMAC-SHA256 of it under a key
derived from the data key, which only the holder of a private key can check.

Each backup has exactly one data key of its own (a capture session one for all its slices: with random nonces a key is safe for 2**32
chunks, NIST SP 800-38D), wrapped to age recipients. Who only writes backups cannot read them. This does not tell who wrote a backup:
whoever knows a recipient and may write to the repository can put a whole backup of his own there. Access to the repository guards that.
"""

import base64
import hashlib
import hmac
import json
import os
import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyrage
import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from drplatform.engine.backups import keys
from drplatform.engine.backups.room import Room
from drplatform.model import errors, evidence
from drplatform.model.backup import FORMAT, ChunkRef, Digest, Manifest
from drplatform.model.secret import Secret

LEVEL = 1
"""Of zstd. Level 3 packs documents 2 % smaller and takes 1.4 times the processor time, which is what a backup waits for."""
FAST_LEVEL = -10
"""Of zstd, for what hardly packs: a quarter of the time of level 1, which would gain some hundredths."""
WORTH = 0.9
"""What packs to more than this share of its size hardly does."""
SAMPLE_BYTES = 4096
NONCE_BYTES = 12
TAG_BYTES = 16
KEY_BYTES = 32
PLAIN_LIMIT = 64 * 1024 * 1024
"""No chunk is larger when opened: stores cut their dumps into far smaller blocks."""
Stored = bytes | memoryview
_FRAME = Room()


def new_id(now: datetime, generator: random.Random) -> str:
    """Sortable by time: `20261123T140501Z-3f9a2c`."""
    return f"{now:%Y%m%dT%H%M%SZ}-{generator.getrandbits(24):06x}"


@dataclass(frozen=True, repr=False)
class DataKey:
    """A key in clear, with its id and its wrapped form. Its repr shows the id only."""

    id: str
    wrapped: str
    _key: bytes

    @classmethod
    def make(cls, recipients: Sequence[str]) -> "DataKey":
        """A new random key, wrapped to the recipients. Raises SettingsError when there is none, or one is wrong."""
        if not recipients:
            raise errors.SettingsError(
                "Backups are encrypted, so at least one age recipient is needed; make one with: drplatform keys generate"
            )
        key = AESGCM.generate_key(bit_length=8 * KEY_BYTES)
        wrapped = pyrage.encrypt(key, [keys.recipient(text) for text in recipients])
        return cls(_id(key), base64.b64encode(wrapped).decode(), key)

    def __repr__(self) -> str:
        return f"DataKey({self.id})"

    def seal(self, plain: bytes, identity: bytes) -> bytes:
        """Raises StoreError for a block that could not be opened again."""
        if len(plain) > PLAIN_LIMIT:
            raise errors.StoreError(f"A store handed on a block of {len(plain)} bytes; it must cut its content below {PLAIN_LIMIT}.")
        nonce = _nonce()
        packed = zstandard.ZstdCompressor(level=_level(plain), write_checksum=True).compress(plain)
        sealed = AESGCM(self._key).encrypt(nonce, packed, identity)
        del packed  # blocks are large, and several are sealed at once
        return nonce + sealed

    def open(self, stored: Stored, identity: bytes, plain: int, name: str) -> bytes:
        """The plaintext of exactly `plain` bytes. Raises IntegrityError naming the object."""
        packed = self._frame(stored, identity, plain, name)
        try:
            return zstandard.ZstdDecompressor().decompress(packed, max_output_size=max(plain, 1), allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise errors.IntegrityError(
                f"{name} opens with its key but does not unpack: it was damaged before it was sealed, and no copy of it is better. "
                "Use another backup."
            ) from error

    def check(self, stored: Stored, identity: bytes, plain: int, name: str) -> None:
        """The seal alone, around the frame of a plaintext of exactly `plain` bytes. Raises IntegrityError naming the object."""
        self._frame(stored, identity, plain, name)

    def _frame(self, stored: Stored, identity: bytes, plain: int, name: str) -> memoryview:
        """As it was sealed. Until this thread asks for the next."""
        if plain > PLAIN_LIMIT:
            raise errors.IntegrityError(f"{name} claims to hold {plain} bytes, more than any chunk; do not trust this backup.")
        try:
            packed = _FRAME.of(max(0, len(stored) - NONCE_BYTES - TAG_BYTES))
            AESGCM(self._key).decrypt_into(stored[:NONCE_BYTES], memoryview(stored)[NONCE_BYTES:], identity, packed)
            _require_size(packed, plain)
        except (InvalidTag, ValueError, zstandard.ZstdError) as error:
            raise errors.IntegrityError(f"{name} does not open with its key: it was changed or moved; do not trust this backup.") from error
        return packed

    def mac(self, body: bytes) -> str:
        return self._hmac(b"drplatform manifest mac", body)

    def keyed(self, name: str, digest: Digest) -> Digest:
        """The digest as it may stand in a manifest, which anybody can read: few bits of content could be guessed from a plain one."""
        content = evidence.canonical({"name": name, **digest.to_json()})
        return Digest(digest.items, self._hmac(b"drplatform content digest", content), True)

    def _hmac(self, purpose: bytes, message: bytes) -> str:
        derived = HKDF(SHA256(), KEY_BYTES, salt=None, info=purpose).derive(self._key)
        return hmac.new(derived, message, hashlib.sha256).hexdigest()


def _level(plain: bytes) -> int:
    """By a sample of 64 KiB from all over the block."""
    step = len(plain) // 16
    if step < 16 * SAMPLE_BYTES:
        return LEVEL
    sample = b"".join(plain[at : at + SAMPLE_BYTES] for at in range(0, 16 * step, step))
    packed = zstandard.ZstdCompressor(level=LEVEL).compress(sample)
    return LEVEL if len(packed) <= WORTH * len(sample) else FAST_LEVEL


def _require_size(packed: memoryview, plain: int) -> None:
    """The frame itself must state the expected size: the library allocates what the frame states, whatever limit it is given."""
    stated = zstandard.get_frame_parameters(packed).content_size
    if stated != plain:
        raise ValueError(f"it holds {stated} bytes and not {plain}")


def _id(key: bytes) -> str:
    return hashlib.sha256(b"drplatform data key id" + key).hexdigest()[:16]


def _nonce() -> bytes:
    """From the operating system, never from the drill's seeded generator: a repeated nonce would break the cipher."""
    return os.urandom(NONCE_BYTES)


def chunk_identity(backup: str, part: str, number: int, stage: int, plain: int) -> bytes:
    """What a chunk is bound to: the associated data of its encryption."""
    return json.dumps([FORMAT, backup, part, number, stage, plain], separators=(",", ":")).encode()


def of_ref(backup: str, ref: ChunkRef) -> bytes:
    return chunk_identity(backup, ref.part, ref.number, ref.stage, ref.plain)


def place(manifest: Manifest) -> str:
    """Below this the objects of the backup lie."""
    return f"{manifest.store}/{manifest.kind.value}/{manifest.id}"


def pack_manifest(manifest: Manifest, key: DataKey) -> bytes:
    body = manifest.to_json()
    content = evidence.canonical(body)
    return evidence.canonical({"body": body, "sha256": hashlib.sha256(content).hexdigest(), "mac": key.mac(content)})


@dataclass(frozen=True)
class Packed:
    """A manifest as stored: the canonical bytes of its body, and the MAC over them."""

    manifest: Manifest
    content: bytes
    mac: str


def unpack_manifest(data: bytes, name: str) -> Packed:
    """Read the manifest object of the key `name`, and check its SHA-256 and that it belongs there.

    Raises IntegrityError naming the object. Any changed byte is found, save of the MAC, which needs the key: see `Opener.authenticate`.
    """
    try:
        envelope = json.loads(data)
        body, digest, mac = envelope["body"], envelope["sha256"], envelope["mac"]
        content = evidence.canonical(body)
        unchanged = evidence.canonical({"body": body, "sha256": digest, "mac": mac}) == data
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise errors.IntegrityError(f"{name} is no manifest ({type(error).__name__}); do not trust this backup.") from error
    if not unchanged or hashlib.sha256(content).hexdigest() != digest:
        raise errors.IntegrityError(f"{name} was changed: its checksum does not match; do not trust this backup.")
    manifest = Manifest.from_json(body)
    if defect := _defect(manifest, name):
        raise errors.IntegrityError(f"{name} {defect}; do not trust this backup.")
    return Packed(manifest, content, str(mac))


def _defect(manifest: Manifest, name: str) -> str:
    """What no manifest has that was written here, in words; empty is good. Two keys would let one vouch for the other's chunks."""
    if name != f"{place(manifest)}/manifest.json":
        return f"is the manifest of another backup, {place(manifest)}"
    if len(manifest.keys) != 1:
        return "does not name exactly one data key"
    if manifest.started.tzinfo is None or manifest.finished.tzinfo is None:
        return "has times without a time zone"
    wrong = [number for number, ref in enumerate(manifest.chunks) if not _well_formed(ref, manifest)]
    return f"describes its chunk {wrong[0]} wrongly" if wrong else ""


def _well_formed(ref: ChunkRef, manifest: Manifest) -> bool:
    numbers = (ref.number, ref.stage, ref.plain, ref.stored)
    if not all(type(n) is int and n >= 0 for n in numbers) or not all(isinstance(w, str) for w in (ref.part, ref.sha256, ref.data_key)):
        return False
    return isinstance(ref.key, str) and ref.key.startswith(f"{place(manifest)}/chunks/") and ref.data_key in manifest.keys


class Opener:
    """Opens backups with private keys. Unwrapped data keys are kept in memory, so that each is unwrapped once."""

    def __init__(self, identities: Sequence[Secret]) -> None:
        if not identities:
            raise errors.KeyUnavailable("No private key was given, so no backup can be opened; name an age identity file.")
        self._identities = [keys.identity(secret) for secret in identities]
        self._known: dict[str, DataKey] = {}
        self._lock = threading.Lock()

    def key(self, manifest: Manifest, key_id: str) -> DataKey:
        """The data key of that id. Raises KeyUnavailable when no private key opens it, IntegrityError when another is in its place."""
        wrapped = _wrapped(manifest.keys, key_id, manifest.id)
        with self._lock:
            if wrapped not in self._known:
                self._known[wrapped] = self._unwrap(manifest, wrapped)
            known = self._known[wrapped]
        if known.id != key_id:
            raise errors.IntegrityError(f"Backup {manifest.id} holds another data key than the one it names; do not trust this backup.")
        return known

    def open(self, manifest: Manifest, ref: ChunkRef, stored: Stored) -> bytes:
        """The plaintext of a chunk. Raises IntegrityError or KeyUnavailable."""
        return self.key(manifest, ref.data_key).open(stored, of_ref(manifest.id, ref), ref.plain, ref.key)

    def check(self, manifest: Manifest, ref: ChunkRef, stored: Stored) -> None:
        """The seal of a chunk, which takes a fraction of the time of opening it. Raises IntegrityError or KeyUnavailable."""
        self.key(manifest, ref.data_key).check(stored, of_ref(manifest.id, ref), ref.plain, ref.key)

    def authenticate(self, packed: Packed) -> None:
        """Check that who wrote the manifest held its data key. Raises IntegrityError or KeyUnavailable."""
        manifest = packed.manifest
        genuine = len(manifest.keys) == 1 and all(
            hmac.compare_digest(self.key(manifest, key_id).mac(packed.content).encode(), packed.mac.encode()) for key_id in manifest.keys
        )
        if genuine:
            return
        raise errors.IntegrityError(f"The manifest of backup {manifest.id} was not written with its key: it is forged; do not trust it.")

    def _unwrap(self, manifest: Manifest, wrapped: str) -> DataKey:
        try:
            key = pyrage.decrypt(base64.b64decode(wrapped, validate=True), self._identities)
        except (pyrage.DecryptError, ValueError) as error:
            raise errors.KeyUnavailable(
                f"None of the private keys given opens backup {manifest.id}; it was made for {', '.join(manifest.recipients)}."
            ) from error
        if len(key) != KEY_BYTES:
            raise errors.IntegrityError(f"The key of backup {manifest.id} is no AES-256 key; do not trust this backup.")
        return DataKey(_id(key), wrapped, key)


def _wrapped(wrapped: Mapping[str, Any], key_id: str, backup: str) -> str:
    if key_id not in wrapped:
        raise errors.IntegrityError(f"Backup {backup} names the data key {key_id} but does not hold it; do not trust this backup.")
    return str(wrapped[key_id])
