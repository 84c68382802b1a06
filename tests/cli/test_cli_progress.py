"""How far work on bytes has come: a bar on a terminal, now and then a plain line in a log, nothing at all when it is quick."""

import os
import pty
import subprocess
import sys
from datetime import UTC, datetime

import backup_keys_cases as cases
import pytest

from drplatform.cli import progress
from drplatform.environment import repository
from drplatform.model.clock import FakeClock


@pytest.fixture
def fake():
    return FakeClock(datetime(2026, 1, 1, tzinfo=UTC))


def test_in_a_log_a_line_now_and_then_says_how_much_how_fast_and_how_long(fake, capsys):
    with progress.Bytes("Backing up files", 100_000_000, fake) as meter:
        for _ in range(9):
            fake.advance(10)
            meter.add(10_000_000)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "Backing up files: 30.0 of 100.0 MB, 1.0 MB/s, about 70 s left",
        "Backing up files: 60.0 of 100.0 MB, 1.0 MB/s, about 40 s left",
        "Backing up files: 90.0 of 100.0 MB, 1.0 MB/s, about 10 s left",
        "Backing up files: 90.0 of 100.0 MB, 1.0 MB/s, about 10 s left",
    ]


def test_what_is_quick_says_nothing_and_an_unknown_size_no_time_left(fake, capsys):
    with progress.Bytes("Verifying", 10, fake) as meter:
        meter.add(10)
    assert capsys.readouterr().err == ""
    with progress.Bytes("Backing up redis", 0, fake) as meter:
        fake.advance(40)
        meter.add(80_000_000)
    assert set(capsys.readouterr().err.splitlines()) == {"Backing up redis: 80.0 MB, 2.0 MB/s"}


def test_a_metered_repository_is_the_repository_and_counts_what_goes_through(tmp_path, clock):
    (tmp_path / "vault").mkdir()
    counted = []
    metered = progress.Metered(repository(tmp_path / "vault", clock), counted.append)
    metered.put("a/b", b"12345")
    assert metered.get("a/b") == b"12345" and [i.key for i in metered.list("a/")] == ["a/b"]
    metered.delete("a/b")
    assert counted == [5, 5] and list(metered.list("")) == []


def test_on_a_terminal_there_is_a_bar_with_its_rate(tmp_path, clock):
    cases.filled(tmp_path / "vault", clock)
    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-c",
        "from drplatform.cli import main; main()",
        "backups",
        "verify",
        "--all",
        "--repository",
        tmp_path / "vault",
    ]
    variables = {**os.environ, "DRPLATFORM_STATE": str(tmp_path / "state"), "TERM": "xterm"}
    done = subprocess.run(command, env=variables, stdout=subprocess.PIPE, stderr=theirs, timeout=60, check=False)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0 and b"whole" in done.stdout
    assert "Verifying" in shown and "100%" in shown and "MB/s" in shown
