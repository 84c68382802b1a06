"""Backups and restores of file storage killed in the middle: what was written by then is no backup, and a restore is repeated. Memory is
measured whatever the size."""

import json
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import real_servers

from drplatform.engine import backups
from drplatform.model import errors
from drplatform.repositories import directory
from drplatform.stores import files
from drplatform.stores.files import digest
from drplatform.stores.files.content import Header

MIB = 2**20
PEAK_MIB = 300


@dataclass
class Worker:
    vault: Path
    keys: tuple

    def start(self, action, endpoint, writes=None) -> subprocess.Popen:
        command = [sys.executable, str(Path(__file__).with_name("killed_files.py"))]
        told = {"action": action, "writes": writes, "vault": str(self.vault), "recipient": self.keys[0], "identity": self.keys[1].reveal()}
        told |= {"port": endpoint.addresses[0].port, "user": endpoint.credentials.user, "password": endpoint.credentials.password.reveal()}
        environment = {"PYTHONPATH": str(Path(__file__).parents[1])}
        worker = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        worker.stdin.write(json.dumps(told) + "\n")
        worker.stdin.flush()
        return worker

    def run(self, action, endpoint, within) -> dict:
        with self.start(action, endpoint) as worker:
            out, _ = worker.communicate(timeout=within)
            assert worker.returncode == 0
        return json.loads(out)

    def killed(self, action, endpoint, writes) -> None:
        """Killed after so many writes."""
        with self.start(action, endpoint, writes) as worker:
            try:
                assert json.loads(worker.stdout.readline()) == "halts"
            finally:
                worker.kill()


def fill(store, count: int, size: int) -> None:
    """No two objects have the same content, and none can be compressed."""
    rest = random.Random(size).randbytes(size - 8)

    def put(number: int) -> None:
        header = Header(f"{size}/{number:06d}", size, "", "", "application/pdf")
        content = random.Random(number).randbytes(size) if size < MIB else number.to_bytes(8) + rest
        files.upload.put(store._s3, "uploads", header, content)

    for _ in digest.in_parallel(range(count), put, 8 if size < MIB else 2):
        pass


def go_out_and_come_back(pair, tmp_path, count: int, size: int, within: float, again: str = "reconcile") -> None:
    source, target = (files.connect(endpoint, real_servers.CLOCK) for endpoint in pair)
    source.identity()
    fill(source, count, size)
    worker = Worker(tmp_path / "vault", backups.generate())
    catalogue = backups.Catalogue(directory.open(worker.vault, real_servers.CLOCK))

    worker.killed("take", pair[0], max(2, count * size // (60 * MIB)))
    assert catalogue.read().manifests == (), "what was written before the kill is no backup"
    taken = worker.run("take", pair[0], within)
    assert taken["items"] == count
    worker.killed("restore", pair[1], len(target.buckets) + 1 + count // 3)  # the buckets are marked, and the restore is noted
    assert target.occupants() and target.unfinished().startswith(catalogue.read().manifests[0].id), "it says which restore it was"
    with pytest.raises(
        errors.TargetRefused, match=r"cut off .* by --resume, or restore beside what is there by `drplatform files restore`"
    ):
        backups.check_target(target, backups.Lease("files", target.identity()))
    back = worker.run(again, pair[1], within)
    assert again == "resume" or (back["chosen"] == count and 0 < back["written"] < count), "what was there already is not written again"
    assert back["differing"] == [] and target.unfinished() == ""
    with pytest.raises(errors.TargetRefused, match=r"not empty: .* beside what is there by `drplatform files restore`"):
        backups.check_target(target, backups.Lease("files", target.identity()), resume=True)
    print(f"{count} x {size} bytes: peak {taken['peak']} MiB out, {back['peak']} MiB back; {again}: written again {back.get('written')}")
    assert max(taken["peak"], back["peak"]) < PEAK_MIB


@pytest.mark.parametrize("again", ["reconcile", "resume"])
@pytest.mark.parametrize(("count", "size"), [(900, 4096), (6, 24 * MIB)], ids=["small", "huge"])
def test_buckets_go_out_and_come_back_although_killed(s3_endpoint_pair, tmp_path, count, size, again):
    go_out_and_come_back(s3_endpoint_pair, tmp_path, count, size, 120, again)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("count", "size"), [(50_000, 4096), (20, 256 * MIB)], ids=["small", "huge"])
def test_buckets_of_full_size(s3_endpoint_pair, tmp_path, count, size):
    go_out_and_come_back(s3_endpoint_pair, tmp_path, count, size, 1800)
