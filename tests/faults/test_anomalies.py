"""Ransomware and other anomalies over generations of backups: found at once however slow, and not in ordinary work."""

import functools
import hashlib
import os
import random
import secrets

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fault_world import CLOCK, KINDS
from real_servers import s3_client

from drplatform import detection, environment
from drplatform.engine import backups
from drplatform.environment import Vault
from drplatform.model import anomaly
from drplatform.model.anomaly import Generation, Item

WORDS = b"invoice order customer amount total address delivery article price the and of for with is".split()
TYPES = {".txt": 0.5, ".json": 0.2, ".jpg": 0.2, ".zip": 0.1}


class Office:
    """Files of people at work: texts that are readable, pictures and archives that are not."""

    def __init__(self, seed: int, count: int) -> None:
        self.chance = random.Random(seed)
        self.files: dict[str, bytes] = {}
        self.add(count)

    def add(self, count: int) -> None:
        for _ in range(count):
            kind = self.chance.choices(list(TYPES), list(TYPES.values()))[0]
            self.files[f"{self.chance.getrandbits(40):x}{kind}"] = self.content(kind)

    def content(self, kind: str) -> bytes:
        size = self.chance.randrange(300, 3000)
        if kind in (".jpg", ".zip"):
            return kind.encode() + self.chance.randbytes(size)
        return b" ".join(self.chance.choices(WORDS, k=size // 6))

    def work(self) -> None:
        """An ordinary day: some files change, some come, some go; now and then many come at once, or a folder is tidied up."""
        names = sorted(self.files)
        for name in self.chance.sample(names, round(len(names) * self.chance.uniform(0, 0.08))):
            self.files[name] = self.content(name[-4:] if name[-4:] in TYPES else ".json")
        for name in self.chance.sample(names, round(len(names) * self.chance.uniform(0, 0.03))):
            del self.files[name]
        self.add(round(len(names) * self.chance.uniform(0, 0.05)))
        if self.chance.random() < 0.05:
            self.add(round(len(names) * 0.25))

    def encrypt(self, share: float, suffix: str = "") -> None:
        names = [n for n in sorted(self.files) if not n.endswith(".locked")]
        for name in self.chance.sample(names, max(1, round(share * len(names)))):
            sealed = AESGCM(AESGCM.generate_key(256)).encrypt(b"0" * 12, self.files.pop(name), None)
            self.files[name + suffix] = sealed

    def generation(self, number: int) -> Generation:
        return Generation(str(number), {name: item(name, content) for name, content in self.files.items()})


@functools.lru_cache(20_000)
def item(name: str, content: bytes) -> Item:
    return Item(hashlib.sha256(content).hexdigest(), len(content), "." + name.rpartition(".")[2], anomaly.looks_random(content))


@pytest.fixture
def seed():
    drawn = secrets.randbelow(2**31)
    print("seed", drawn)
    return drawn


def first_found(findings) -> int | None:
    return next((number for number, f in enumerate(findings) if f.reasons), None)


@pytest.mark.parametrize(("share", "suffix", "latency"), [(1.0, "", 0), (0.05, ".locked", 0), (0.02, ".locked", 1), (0.01, "", 5)])
def test_encryption_is_found_within_generations(seed, share, suffix, latency):
    office, generations = Office(seed, 500), []
    for number in range(12):
        office.work()
        if number >= 6:
            office.encrypt(share, suffix)
        generations.append(office.generation(number))
    findings = anomaly.examine(generations)
    found = first_found(findings)
    assert found is not None and 6 <= found <= 6 + latency, [f.reasons for f in findings]
    assert anomaly.last_clean(findings) == str(found - 1)
    assert "encryption" in findings[found].reasons[0]


def false_positives(seed: int, runs: int, generations: int) -> float:
    wrong = total = 0
    for run in range(runs):
        office, made = Office(seed + run, 300), []
        for number in range(generations):
            office.work()
            made.append(office.generation(number))
        findings = anomaly.examine(made)
        wrong, total = wrong + sum(bool(f.reasons) for f in findings), total + generations
    return wrong / total


def test_ordinary_work_is_seldom_suspected(seed):
    rate = false_positives(seed, 3, 15)
    print(f"false positives: {100 * rate:.2f} % of generations")
    assert rate <= 0.05


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_false_positives_over_many_generations(seed):
    rate = false_positives(seed, 20, 50)
    print(f"false positives: {100 * rate:.2f} % of 1,000 generations")
    assert rate <= 0.01


def test_mass_deletion_and_another_mix_of_types_are_found(seed):
    for change in ("gone", "types", "growth", "changed"):
        office, made = Office(seed, 300), []
        for number in range(6):
            office.work()
            made.append(office.generation(number))
        names = sorted(office.files)
        if change == "gone":
            for name in names[: len(names) // 2]:
                del office.files[name]
        if change == "types":
            office.files = {(n[:-4] + ".bin" if i % 2 else n): c for i, (n, c) in enumerate(office.files.items())}
        if change == "growth":
            office.files = {n: c * 3 for n, c in office.files.items()}
        if change == "changed":
            office.files = {n: c + b" edited" if i % 3 else c for i, (n, c) in enumerate(office.files.items())}
        findings = anomaly.examine([*made, office.generation(6)])
        assert findings[-1].reasons, change


def test_randomness_is_told_from_text_and_from_too_little():
    assert anomaly.looks_random(os.urandom(4096)) and anomaly.looks_random(os.urandom(400))
    assert anomaly.looks_random(b" ".join(WORDS * 40)) is False
    assert anomaly.looks_random(b"short") is None


def test_slow_encryption_shows_in_backups_of_a_real_file_storage(world):
    """Generations of one bucket in the vault, encrypted a tenth at a time by the fault, amid clients' writes."""
    world.settle()
    s3, store = s3_client(world.platform.endpoint("files")), world.stores["files"]
    for number in range(60):
        s3.put_object(Bucket="pdfs", Key=f"report-{number}.txt", Body=b" ".join(WORDS * 20) + str(number).encode())
    taken = []
    for generation in range(5):
        world.write_to("files", 2)
        if generation >= 3:
            make = environment.fault("ransomware")
            make("files", "pdfs", 0.2, 0.2 * (generation - 3)).apply(world.scene)
        taken.append(backups.back_up(store, KINDS["files"], world.repository, [world.recipient], CLOCK, random.Random()))
    found = detection.examine(Vault(world.repository, backups.Opener([world.identity])), "files", 5)
    assert [f.backup for f in found] == [m.id for m in taken]
    assert first_found(found) == 3, [f.reasons for f in found]
    assert anomaly.last_clean(found) == taken[2].id
