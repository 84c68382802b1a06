"""A file is there whole or as it was, however its writer ends."""

import signal
import subprocess
import sys

from drplatform.model import whole

WRITER = """
import itertools, pathlib, sys
from drplatform.model import whole
for turn in itertools.count():
    whole.write(pathlib.Path(sys.argv[1]), b"ab"[turn % 2 : turn % 2 + 1] * 3_000_000)
    if turn == 1:
        print("goes on", flush=True)
"""


def test_a_killed_writer_leaves_the_file_whole(tmp_path):
    path = tmp_path / "note"
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout.readline() == "goes on\n"
            writer.send_signal(signal.SIGKILL)
        assert path.read_bytes() in (b"a" * 3_000_000, b"b" * 3_000_000)


def test_what_is_written_is_for_its_owner_alone(tmp_path):
    path = tmp_path / "note"
    whole.write(path, "text")
    assert path.read_text() == "text"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
