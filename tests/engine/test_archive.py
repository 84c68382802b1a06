"""The audit log in the vault: kept piece by piece, by several at once, and nothing of it can be cut, changed or moved unseen."""

import random
import threading

import pytest
from real_servers import CLOCK

from drplatform.engine import archive, attest
from drplatform.engine.audit import AuditLog
from drplatform.environment import repository
from drplatform.model import errors


@pytest.fixture(scope="module")
def pair():
    return attest.generate()


@pytest.fixture
def log(tmp_path):
    return AuditLog(tmp_path / "state/audit.jsonl")


@pytest.fixture
def vault(tmp_path):
    (tmp_path / "vault").mkdir()
    return archive.Archive(repository(tmp_path / "vault", CLOCK))


def objects(vault):
    return {info.key: vault.repository.get(info.key) for info in vault.repository.list("")}


def appended(log, count, drills=False):
    for _ in range(count):
        number = len(log.read())
        log.append({"kind": "backup done", "id": f"b{number}"} | ({"verdict": "PASSED"} if drills and number % 3 == 0 else {}))
    return log.read()


def keep(vault, records, pair):
    return vault.keep(records if callable(records) else lambda: records, lambda record: attest.sign(record, pair[1]))


def test_each_time_what_is_new_is_kept_and_what_is_there_stays_as_it_is(vault, log, pair):
    assert keep(vault, [], pair) == archive.Kept("", 0, 0)
    records = appended(log, 7, drills=True)
    name = archive.name(records)
    assert keep(vault, records, pair) == archive.Kept(name, 7, 7)
    before = objects(vault)
    assert keep(vault, records, pair) == archive.Kept(name, 7, 0)
    assert objects(vault) == before
    records = appended(log, 5, drills=True)
    assert vault.compare(lambda: records) == archive.Kept(name, 7, 0)
    assert keep(vault, records, pair) == archive.Kept(name, 12, 5)
    assert objects(vault).items() >= before.items()
    assert vault.records(name) == records and vault.logs() == [name]
    signed = vault.signed(name)
    assert list(signed) == [f"{n:09d}-b{n - 1}.dsse.json" for n in (1, 4, 7, 10)]
    assert [attest.read(envelope, [pair[0]]) for envelope in signed.values()] == [records[n] for n in (0, 3, 6, 9)]


@pytest.mark.parametrize("damage", ["cut", "rewritten", "rewritten early"])
def test_a_log_that_is_not_what_was_kept_of_it_is_refused_and_nothing_is_stored(vault, log, pair, damage):
    keep(vault, appended(log, 3), pair)
    keep(vault, appended(log, 6), pair)
    before, whole = objects(vault), log.path.read_bytes().splitlines(keepends=True)
    left = {"cut": 8, "rewritten": 5, "rewritten early": 1}[damage]
    log.path.write_bytes(b"".join(whole[:left]))
    records = log.read() if damage == "cut" else appended(log, 12 - left, drills=True)  # a chain of its own, as good as the first
    log.verify()
    with pytest.raises(errors.IntegrityError, match="cut at its end" if damage == "cut" else "not the one that the vault holds"):
        vault.compare(lambda: records)
    with pytest.raises(errors.IntegrityError):
        keep(vault, records, pair)
    assert objects(vault) == before


def test_any_byte_that_changes_in_the_vault_is_found(vault, log, pair, tmp_path):
    seed = random.randrange(2**32)
    print("seed", seed)
    generator = random.Random(seed)
    for _ in range(3):
        records = appended(log, 3, drills=True)
        keep(vault, records, pair)
    name = archive.name(records)
    for key, content in objects(vault).items():
        for _ in range(20):
            position, bit = generator.randrange(len(content)), 1 << generator.randrange(8)
            changed = bytearray(content)
            changed[position] ^= bit
            (tmp_path / "vault" / key).write_bytes(changed)
            try:
                assert vault.records(name) == records  # a signature's last bits, or its file's layout, hold nothing
                assert [attest.read(e, [pair[0]]) for e in vault.signed(name).values()] == [records[n] for n in (0, 3, 6)]
            except errors.IntegrityError:
                continue
            assert "signed" in key
        (tmp_path / "vault" / key).write_bytes(content)
    assert vault.records(name) == records


@pytest.mark.parametrize("segment", [0, 1, 2])
def test_a_segment_that_is_gone_or_moved_is_found(vault, log, pair, tmp_path, segment):
    for _ in range(3):
        records = appended(log, 3)
        keep(vault, records, pair)
    name, keys = archive.name(records), sorted(objects(vault))
    file = tmp_path / "vault" / keys[segment]
    content = file.read_bytes()
    file.unlink()
    if segment < 2:
        with pytest.raises(errors.IntegrityError, match="missing or moved"):
            vault.records(name)
    else:
        assert vault.compare(lambda: records).records == 6, "an end that is missing is not kept yet: the log itself has it"
    file.with_name("000000004.jsonl").write_bytes(content)
    with pytest.raises(errors.IntegrityError):
        vault.records(name)


def test_several_that_keep_at_once_keep_each_record_once(vault, log, pair):
    def work():
        for _ in range(10):
            log.append({"kind": "backup done"})
            keep(vault, log.read, pair)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    records = log.read()
    assert len(records) == 40
    assert vault.compare(lambda: records) == archive.Kept(archive.name(records), 40, 0)
