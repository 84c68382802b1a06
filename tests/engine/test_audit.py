"""The audit log: whatever is changed, removed, moved, inserted or cut is found; crashes and many writers do no harm."""

import fcntl
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from drplatform.engine.audit import AuditLog
from drplatform.model import errors


@pytest.fixture
def log(tmp_path):
    made = AuditLog(tmp_path / "state" / "audit.jsonl")
    for number in range(5):
        made.append({"kind": "test", "number": number, "text": "äöü"})
    return made


def numbers(log):
    return [record.get("number") for record in log.read()]


def test_records_are_chained(log):
    records = log.read()
    assert numbers(log) == [0, 1, 2, 3, 4]
    assert [r["previous"] for r in records[1:]] == [r["hash"] for r in records[:-1]]
    assert log.verify() == records[-1]["hash"]
    assert AuditLog(log.path.with_name("none")).verify()


def test_the_log_is_only_for_its_owner(log):
    assert log.path.stat().st_mode & 0o777 == 0o600
    assert log.path.parent.stat().st_mode & 0o077 == 0


def refused(log):
    for use in (log.verify, log.ready, lambda: log.append({"kind": "more"})):
        before = log.path.read_bytes()
        with pytest.raises(errors.IntegrityError):
            use()
        assert log.path.read_bytes() == before, "a log that does not verify is never appended to"


def test_every_flipped_bit_is_found(log):
    seed = secrets.randbits(32)
    print("seed", seed)
    content = log.path.read_bytes()
    for offset in sorted({0, len(content) - 2, *random.Random(seed).sample(range(len(content) - 1), 150)}):
        changed = content[:offset] + bytes([content[offset] ^ 1 << random.Random(offset).randrange(8)]) + content[offset + 1 :]
        log.path.write_bytes(changed)
        with pytest.raises(errors.IntegrityError):
            log.verify()
    log.path.write_bytes(content)
    log.verify()


TAMPERINGS = {
    "first removed": lambda lines: lines[1:],
    "one removed": lambda lines: [*lines[:2], *lines[3:]],
    "two swapped": lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
    "one doubled": lambda lines: [*lines[:2], lines[1], *lines[2:]],
    "one changed": lambda lines: [lines[0].replace('"number":0', '"number":9'), *lines[1:]],
    "an empty line": lambda lines: [*lines[:2], "", *lines[2:]],
    "no record": lambda lines: [*lines[:2], "[]", *lines[2:]],
    "a field without a hash": lambda lines: [*lines, '{"kind":"test"}'],
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_tampering_is_found_and_ends_the_log(log, tampering):
    lines = log.path.read_text().splitlines()
    log.path.write_text("\n".join(TAMPERINGS[tampering](lines)) + "\n")
    refused(log)


def test_the_first_record_that_does_not_fit_is_named(log):
    lines = log.path.read_text().splitlines()
    log.path.write_text("\n".join([*lines[:3], lines[3].replace("test", "toast"), lines[4]]) + "\n")
    with pytest.raises(errors.IntegrityError, match="Record 4 "):
        log.verify()


class Read(AuditLog):
    """Says when it has looked at the file."""

    looked = threading.Event()

    def _content(self):
        found = super()._content()
        self.looked.set()
        return found


def test_whoever_reads_in_the_middle_of_an_append_reads_what_comes_after_it(log):
    whole = log.path.read_bytes()
    line = whole.splitlines(keepends=True)[-1]
    reader = Read(log.path)
    with ThreadPoolExecutor(1) as pool, log.path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        log.path.write_bytes(whole[: -len(line) // 2])
        reading = pool.submit(reader.read)
        assert reader.looked.wait(30)
        log.path.write_bytes(whole)
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert reading.result(30) == log.read()
    log.path.write_bytes(whole[:-5])
    with pytest.raises(errors.IntegrityError, match="unreadable"):
        log.read()


def test_a_line_that_a_crash_has_torn_is_set_aside_and_recorded(log):
    whole = log.path.read_bytes()
    for count, torn in enumerate((b'{"kind":"te', b"{"), 1):
        with log.path.open("ab") as file:
            file.write(torn)
        log.ready()
        log.append({"number": 5})
        assert log.path.with_name(f"audit.jsonl.torn-{count}").read_bytes() == torn
    assert log.path.read_bytes().startswith(whole)
    assert [r["kind"] for r in log.read() if r.get("kind") != "test" and "number" not in r] == ["torn-line", "torn-line"]
    log.verify()


def test_many_writers_at_once_keep_one_chain(log):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: AuditLog(log.path).append({"number": n}), range(5, 45)))
    assert sorted(numbers(log)) == list(range(45))
    log.verify()


WRITER = """
import sys
from pathlib import Path
from drplatform.engine.audit import AuditLog
log = AuditLog(Path(sys.argv[1]))
print("ready", flush=True)
for number in range(1_000_000):
    log.append({"number": number, "fill": "x" * 500})
"""


def test_a_writer_killed_at_any_moment_breaks_no_chain(tmp_path):
    log = AuditLog(tmp_path / "audit.jsonl")
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", WRITER, log.path], stdout=subprocess.PIPE) as writer:
            writer.stdout.readline()
            size = log.path.stat().st_size if log.path.exists() else 0
            while (log.path.stat().st_size if log.path.exists() else 0) == size:
                os.sched_yield()
            writer.send_signal(signal.SIGKILL)
        log.append({"kind": "after"})
        log.verify()
    assert sum(r.get("kind") == "after" for r in log.read()) == 3
    assert sum("fill" in r for r in log.read()) >= 3, "planted: each writer has written before it was killed"


def test_what_json_cannot_hold_is_refused_and_leaves_the_log_whole(log):
    with pytest.raises(ValueError):
        log.append({"value": float("nan")})
    log.verify()
    assert numbers(log) == [0, 1, 2, 3, 4]
    assert json.loads(log.path.read_text().splitlines()[-1])["number"] == 4
