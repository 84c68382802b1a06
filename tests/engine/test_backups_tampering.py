"""Whatever is done to the objects of a backup, it is refused before anything is loaded; and what is whole is accepted."""

import dataclasses
import json
import random
import secrets
from pathlib import Path

import backup_cases as cases
import pytest
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from drplatform.engine import backups
from drplatform.engine.backups import sealing
from drplatform.model import errors, evidence
from drplatform.model.backup import Chain, Manifest
from drplatform.model.memory import MemoryServer


@pytest.fixture
def whole(clock):
    """A small backup: its manifest, and its objects by key."""
    repository = cases.MemoryRepository(clock)
    manifest = cases.take(cases.source(clock), repository, clock)
    return manifest, cases.objects(repository)


def refused(manifest, content, clock, opener=cases.OPENER, error=errors.IntegrityError):
    """The message of the refusal; the target must be untouched."""
    server = MemoryServer()
    with pytest.raises(error) as raised:
        cases.restore(Chain(manifest), cases.holding(content), clock, server, opener)
    assert not server.data and not server.log, "something was loaded"
    return str(raised.value)


def resealed(manifest, content, **changes):
    """The objects with the manifest changed by somebody without the key: its checksum is right, its MAC is not."""
    name = cases.manifest_name(content)
    mac = json.loads(content[name])["mac"]
    changed = dataclasses.replace(manifest, **changes)
    return changed, {**content, name: cases.envelope(changed.to_json(), mac)}


def test_a_whole_backup_is_accepted(whole, clock):
    """The control of all tests here: without tampering, everything comes back."""
    manifest, content = whole
    server = MemoryServer()
    end = cases.restore(Chain(manifest), cases.holding(content), clock, server)
    assert end.digests and backups.differing(cases.OPENER, manifest, end.digests) == []
    assert len(server.data["reference"]) == 12 and server.data["other"] == {"a": "1"}
    assert backups.verify(manifest, cases.holding(content), cases.OPENER).whole
    assert backups.verify(manifest, cases.holding(content), None).whole


def test_every_flipped_byte_of_a_manifest_is_found(whole):
    """Those of the MAC with the key alone, all others by anybody."""
    _, content = whole
    name = cases.manifest_name(content)
    mac = json.loads(content[name])["mac"].encode()
    needs_key = range(content[name].index(mac), content[name].index(mac) + len(mac))
    for offset in range(len(content[name])):
        for bit in (0, 5, 7):
            with pytest.raises(errors.IntegrityError):
                packed = sealing.unpack_manifest(cases.flipped(content[name], offset, bit), name)
                assert offset in needs_key
                cases.OPENER.authenticate(packed)


def test_every_flipped_byte_of_a_chunk_is_found_by_its_seal_alone(whole):
    """Even with a manifest that vouches for it."""
    manifest, content = whole
    for ref in manifest.chunks:
        for offset in range(len(content[ref.key])):
            with pytest.raises(errors.IntegrityError, match=ref.key):
                cases.OPENER.open(manifest, ref, cases.flipped(content[ref.key], offset, offset % 8))


def test_a_flipped_byte_in_any_object_is_refused_before_anything_is_loaded(whole, clock):
    seed = secrets.randbits(32)
    print("seed", seed)
    chance = random.Random(seed)
    manifest, content = whole
    for name, data in content.items():
        for offset in {0, len(data) - 1, *chance.sample(range(len(data)), 25)}:
            damaged = {**content, name: cases.flipped(data, offset, chance.randrange(8))}
            told = manifest.id if name.endswith("/manifest.json") else name
            assert told in refused(manifest, damaged, clock)


def test_a_damaged_manifest_is_a_problem_and_no_backup(whole):
    _, content = whole
    name = cases.manifest_name(content)
    for damaged in (b"", b"{", b"null", b"[]", b"\xff\xfe", b"[" * 100_000, cases.flipped(content[name], 40)):
        listing = backups.Catalogue(cases.holding({**content, name: damaged})).read()
        assert listing.manifests == ()
        assert len(listing.problems) == 1 and name in listing.problems[0]


@pytest.mark.parametrize("cut", [0, 1, 11, 12, 28, -1])
def test_truncated_chunks_are_refused(whole, clock, cut):
    manifest, content = whole
    key = manifest.chunks[-1].key
    assert key in refused(manifest, {**content, key: content[key][:cut]}, clock)


def test_a_longer_chunk_is_refused(whole, clock):
    manifest, content = whole
    key = manifest.chunks[0].key
    assert key in refused(manifest, {**content, key: content[key] + b"\0"}, clock)


def test_every_missing_object_is_refused(whole, clock):
    manifest, content = whole
    for missing in content:
        assert missing in refused(manifest, {k: v for k, v in content.items() if k != missing}, clock)


def test_swapped_chunks_are_refused(whole, clock):
    manifest, content = whole
    one, two = manifest.chunks[-1].key, manifest.chunks[-2].key
    assert one in refused(manifest, {**content, one: content[two], two: content[one]}, clock)


def swapped(refs):
    """Two chunks change places, the manifest with them: only the seal tells."""
    first, second = refs[-2:]
    taken = {"key", "stored", "sha256"}
    given = {n: getattr(second, n) for n in taken}, {n: getattr(first, n) for n in taken}
    return (*refs[:-2], dataclasses.replace(first, **given[0]), dataclasses.replace(second, **given[1]))


def duplicated(refs):
    return (*refs, dataclasses.replace(refs[-1], number=refs[-1].number + 1))


def renamed(refs):
    return tuple(dataclasses.replace(ref, part=ref.part.replace("reference", "elsewhere")) for ref in refs)


def dropped(refs):
    return refs[:-1]


def emptied(refs):
    return ()


@pytest.mark.parametrize("change", [swapped, duplicated, renamed, dropped, emptied], ids=lambda f: f.__name__)
def test_a_forged_manifest_is_refused_with_a_key(whole, clock, change):
    manifest, content = whole
    forged, objects = resealed(manifest, content, chunks=change(manifest.chunks))
    assert backups.Catalogue(cases.holding(objects)).read().manifests == (forged,)  # its checksum is right
    assert "forged" in refused(forged, objects, clock)


@pytest.mark.parametrize("change", [swapped, renamed, duplicated], ids=lambda f: f.__name__)
def test_the_seal_alone_refuses_chunks_out_of_place(whole, change):
    manifest, content = whole
    forged = dataclasses.replace(manifest, chunks=change(manifest.chunks))
    opened = 0
    with pytest.raises(errors.IntegrityError):
        for ref in forged.chunks:
            cases.OPENER.open(forged, ref, content[ref.key])
            opened += 1
    assert opened < len(forged.chunks)


def test_a_forged_position_is_refused(whole, clock):
    manifest, content = whole
    later = dataclasses.replace(manifest.end, sequence=(manifest.end.sequence[0] + 5,))
    forged, objects = resealed(manifest, content, end=later)
    assert "forged" in refused(forged, objects, clock)


def test_a_manifest_with_a_second_key_of_the_forgers_own_is_refused(whole, clock):
    """The MAC under the added key is right, and the chunks that are left open with the old one: a part is silently gone."""
    manifest, content = whole
    own = backups.DataKey.make([cases.RECIPIENT])
    for keys in ({own.id: own.wrapped, **manifest.keys}, {**manifest.keys, own.id: own.wrapped}):
        forged = dataclasses.replace(manifest, keys=keys, chunks=manifest.chunks[:-1])
        objects = {**content, cases.manifest_name(content): sealing.pack_manifest(forged, own)}
        refused(forged, objects, clock)


def test_a_key_under_the_name_of_another_is_refused(whole, clock):
    manifest, content = whole
    own = backups.DataKey.make([cases.RECIPIENT])
    forged = dataclasses.replace(manifest, keys={next(iter(manifest.keys)): own.wrapped})
    objects = {**content, cases.manifest_name(content): sealing.pack_manifest(forged, own)}
    refused(forged, objects, clock)
    refused(forged, objects, clock, opener=backups.Opener([cases.IDENTITY]))


def test_a_key_once_known_does_not_stand_for_another_of_the_same_name(whole, clock):
    """A forged backup that was looked at before must not make a sound one fail, nor the reverse."""
    manifest, content = whole
    own = backups.DataKey.make([cases.RECIPIENT])
    forged = dataclasses.replace(manifest, keys={next(iter(manifest.keys)): own.wrapped})
    opener = backups.Opener([cases.IDENTITY])
    refused(forged, {**content, cases.manifest_name(content): sealing.pack_manifest(forged, own)}, clock, opener)
    cases.restore(Chain(manifest), cases.holding(content), clock, opener=opener)


def test_the_manifest_of_another_backup_is_refused(clock):
    repository = cases.MemoryRepository(clock)
    store = cases.source(clock)
    first = cases.take(store, repository, clock)
    store.put("other", "b", "2")
    second = cases.take(store, repository, clock)
    content = cases.objects(repository)
    old, new = (f"{cases.NAME}/full/{m.id}/manifest.json" for m in (first, second))
    replaced = {**content, new: content[old]}
    assert new in refused(second, replaced, clock)
    listing = backups.Catalogue(cases.holding(replaced)).read()
    assert listing.manifests == (first,), "a copy elsewhere is listed as a backup"
    assert len(listing.problems) == 1 and new in listing.problems[0]


def test_chunks_of_another_backup_are_refused(clock):
    repository = cases.MemoryRepository(clock)
    store = cases.source(clock)
    first, second = cases.take(store, repository, clock), cases.take(store, repository, clock)
    content = cases.objects(repository)
    for mine, other in zip(second.chunks, first.chunks, strict=True):
        assert mine.key in refused(second, {**content, mine.key: content[other.key]}, clock)


@pytest.mark.parametrize(
    "field, value",
    [("plain", "12"), ("plain", -1), ("plain", 2**70), ("stored", None), ("number", 0.5), ("stage", True), ("sha256", 7), ("key", ["a"]),
     ("key", "../../etc/passwd"), ("part", {}), ("data_key", "none")],
)  # fmt: skip
def test_nonsense_in_a_manifest_with_a_right_checksum_is_a_clear_error(whole, clock, field, value):
    manifest, content = whole
    name = cases.manifest_name(content)
    document = json.loads(content[name])
    document["body"]["chunks"][0][field] = value
    objects = {**content, name: cases.envelope(document["body"], document["mac"])}
    refused(manifest, objects, clock)
    for listed in backups.Catalogue(cases.holding(objects)).read().manifests:
        refused(listed, objects, clock)
        backups.verify(listed, cases.holding(objects), None)


@pytest.mark.parametrize("field, value", [("finished", "2026-01-01T00:00:00"), ("format", 2), ("kind", "total"), ("begin", None)])
def test_other_nonsense_is_a_problem_and_the_other_backups_are_still_listed(whole, clock, field, value):
    manifest, content = whole
    repository = cases.holding(content)
    sound = cases.take(cases.source(clock), repository, clock)
    name = f"{cases.NAME}/full/{manifest.id}/manifest.json"
    document = json.loads(content[name])
    document["body"][field] = value
    changed = {**cases.objects(repository), name: cases.envelope(document["body"], document["mac"])}
    listing = backups.Catalogue(cases.holding(changed)).read()
    assert listing.manifests == (sound,) and len(listing.problems) == 1


def test_the_wrong_key_is_told_before_the_target_is_touched(whole, clock):
    manifest, content = whole
    _, other = backups.generate()
    said = refused(manifest, content, clock, backups.Opener([other]), errors.KeyUnavailable)
    assert cases.RECIPIENT in said and "AGE-SECRET" not in said


def test_a_chunk_that_would_unpack_to_more_than_it_says_is_refused_without_unpacking():
    """A bomb by somebody who has the key: its frame claims 8 GiB."""
    key = backups.DataKey.make([cases.RECIPIENT])
    frame = bytearray(zstandard.ZstdCompressor(level=3).compress(bytes(1 << 20)))
    assert zstandard.get_frame_parameters(bytes(frame)).content_size == 1 << 20
    descriptor = 0xC0 | frame[4] & 0x3F  # the size as 8 bytes, RFC 8878 3.1.1.1
    single = frame[4] & 0x20
    sizes = {0: 1 if single else 0, 1: 2, 2: 4, 3: 8}[frame[4] >> 6]
    begin = 5 + (0 if single else 1)
    bomb = bytes([*frame[:4], descriptor, *frame[5:begin]]) + (8 << 30).to_bytes(8, "little") + bytes(frame[begin + sizes :])
    assert zstandard.get_frame_parameters(bomb).content_size == 8 << 30
    nonce = secrets.token_bytes(12)
    identity = sealing.chunk_identity("b", "p", 0, 0, 1000)
    sealed = nonce + AESGCM(key._key).encrypt(nonce, bomb, identity)
    before = peak_bytes()
    with pytest.raises(errors.IntegrityError, match="the bomb"):
        key.open(sealed, identity, 1000, "the bomb")
    assert address_space() - before < 1 << 30


def test_what_was_packed_wrongly_before_it_was_encrypted_does_not_open():
    """The cipher vouches for what was packed, its checksum for what went in. Chunks of earlier versions have none, and open."""
    key, plain, identity = backups.DataKey.make([cases.RECIPIENT]), bytes(range(256)) * 8, b"identity"

    def open_again(frame):
        nonce = secrets.token_bytes(12)
        return key.open(nonce + AESGCM(key._key).encrypt(nonce, frame, identity), identity, len(plain), "the chunk")

    frame = zstandard.ZstdCompressor(level=1, write_checksum=True).compress(plain)
    assert zstandard.get_frame_parameters(
        AESGCM(key._key).decrypt((sealed := key.seal(plain, identity))[:12], sealed[12:], identity)
    ).has_checksum
    assert open_again(frame) == open_again(zstandard.ZstdCompressor(level=1).compress(plain)) == plain
    literal = frame.index(bytes(range(256)))
    with pytest.raises(errors.IntegrityError, match="the chunk"):
        open_again(frame[: literal + 7] + b"x" + frame[literal + 8 :])


def test_what_was_packed_wrongly_is_found_by_a_verification_and_ends_a_restore_when_it_comes_to_it(clock, monkeypatch):
    """A restore unpacks a chunk once, when it loads it; till then the chunk is what its manifest and its seal say."""
    real, frames = zstandard.ZstdCompressor, []

    class Damaged:
        def __init__(self, **options):
            self.inner = real(**options)

        def compress(self, plain):
            frames.append(plain)
            packed = self.inner.compress(plain)
            return packed[:-1] + bytes([packed[-1] ^ 1])  # of the checksum

    with monkeypatch.context() as patched:
        patched.setattr(zstandard, "ZstdCompressor", Damaged)
        repository = cases.MemoryRepository(clock)
        manifest = cases.take(cases.source(clock), repository, clock)
    assert len(frames) == len(manifest.chunks) > 1
    verified = backups.verify(manifest, repository, cases.OPENER)
    assert len(verified.problems) == len(manifest.chunks) and all("does not unpack" in problem for problem in verified.problems)
    with pytest.raises(errors.IntegrityError, match="does not unpack"):
        cases.restore(Chain(manifest), repository, clock)


def peak_bytes() -> int:
    return address_space()


def address_space() -> int:
    """The most address space that this process ever had, in bytes."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmPeak"))
    return int(line.split()[1]) * 1024


def test_a_manifest_is_written_in_one_byte_form(whole):
    _, content = whole
    name = cases.manifest_name(content)
    document = json.loads(content[name])
    assert evidence.canonical(document) == content[name]
    with pytest.raises(errors.IntegrityError):
        sealing.unpack_manifest(json.dumps(document).encode(), name)
    assert isinstance(sealing.unpack_manifest(content[name], name).manifest, Manifest)
