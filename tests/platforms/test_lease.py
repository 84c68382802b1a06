"""Leases: who owns a directory is the kernel's knowledge, and only what nobody owns is cleared."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from real_servers import CLOCK

from drplatform.model import clock as clocks
from drplatform.model import errors
from drplatform.model.ports import Address
from drplatform.platforms.embedded import lease, process


@pytest.fixture
def base(tmp_path):
    return tmp_path / "base"


def test_a_leased_directory_survives_the_sweep_and_a_released_one_does_not(base, clock):
    mine = lease.create(base)
    assert lease.has_owner(mine.directory)
    assert lease.sweep(base, clock) == 0
    mine.release()
    assert not lease.has_owner(mine.directory)
    assert lease.sweep(base, clock) == 1
    assert not mine.directory.exists()
    assert lease.sweep(base, clock) == 0


def test_a_lease_ends_with_its_owner_even_when_children_live(base, clock):
    script = (
        "import sys, subprocess, time; from pathlib import Path; from drplatform.platforms.embedded import lease\n"
        f"made = lease.create(Path({str(base)!r})); child = subprocess.Popen(['sleep', '60'])\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    child = process.Pid.of(int(owner.stdout.readline()))
    try:
        assert lease.sweep(base, clock) == 0
        owner.kill()
        owner.wait()
        assert child.alive()
        assert lease.sweep(base, clock) == 1
        assert child.alive(), "it carries no tag: not ours to kill"
    finally:
        child.signal(signal.SIGKILL)
        owner.stdout.close()


def test_what_is_made_by_hand_is_left_alone(base, clock):
    mine = lease.create(base)
    mine.write(lease.MANUAL)
    mine.release()
    assert lease.sweep(base, clock) == 0
    taken = lease.claim(mine.directory)
    assert lease.claim(mine.directory) is None, "one owner at a time"
    taken.remove(clock)
    assert lease.directories(base) == []


def test_a_directory_without_a_readable_lease_is_an_orphan(base, clock):
    mine = lease.create(base)
    mine.release()
    (mine.directory / lease.LEASE).write_text("{")
    assert lease.terms(mine.directory) is None
    assert lease.sweep(base, clock) == 1


def test_the_sweep_touches_nothing_that_is_no_platform(base, clock, tmp_path):
    base.mkdir(mode=0o700)
    (base / "notes").mkdir()
    (base / "notes" / "keep").write_text("1")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (base / "0123abcd").symlink_to(elsewhere)
    assert lease.sweep(base, clock) == 0
    assert (base / "notes" / "keep").exists() and elsewhere.exists() and (base / "0123abcd").is_symlink()


def test_only_noted_sockets_of_servers_are_removed(base, clock, tmp_path):
    mine, precious = lease.create(base), tmp_path / "precious"
    precious.write_text("1")
    (mine.directory / "files").mkdir()
    (mine.directory / "files" / lease.OUTSIDE).write_text(f"{precious}\n/tmp/seaweedfs-x-grpc-1.sock/../{precious.name}\n")
    mine.remove(clock)
    assert precious.exists()


@pytest.mark.parametrize("mode", [0o755, 0o777])
def test_a_base_that_others_can_read_is_refused(base, mode):
    base.mkdir()
    base.chmod(mode)
    with pytest.raises(errors.SettingsError, match="chmod 700"):
        lease.create(base)


def test_a_base_behind_a_symbolic_link_is_refused(base, tmp_path):
    (tmp_path / "other").mkdir(mode=0o700)
    base.symlink_to(tmp_path / "other")
    with pytest.raises(errors.SettingsError, match="not a directory of yours"):
        lease.create(base)


def test_a_lease_just_being_made_is_never_swept(base, clock):
    stop, problems = threading.Event(), []

    def sweeping():
        while not stop.is_set():
            problems.extend(["swept"] * lease.sweep(base, clock))

    sweepers = [threading.Thread(target=sweeping) for _ in range(2)]
    lease.create(base).remove(clock)
    for each in sweepers:
        each.start()
    try:
        for _ in range(40):
            made = lease.create(base)
            assert made.directory.exists()
            made.remove(clock)
    finally:
        stop.set()
        for each in sweepers:
            each.join()
    assert problems == []


def test_a_process_is_told_from_a_later_one_of_its_number():
    me = process.Pid.of(os.getpid())
    assert me.alive()
    assert not process.Pid(me.number, me.started - 1).alive()
    process.Pid(me.number, me.started - 1).signal(signal.SIGKILL)  # reaches nobody, or this test would not go on
    done = subprocess.Popen(["true"])
    os.waitid(os.P_PID, done.pid, os.WEXITED | os.WNOWAIT)
    assert process.Pid.of(done.pid) is None, "remains are no process"
    done.wait()


def test_a_process_whose_threads_still_run_is_not_gone():
    """Its first thread has ended, which /proc shows as a zombie, and another holds on to a port."""
    script = (
        "import ctypes, socket, threading\n"
        "s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)\n"
        "threading.Thread(target=input).start()\n"
        "ctypes.CDLL(None).syscall(60, 0)\n"  # exit of this thread alone (x86-64)
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        port = int(running.stdout.readline())
        clocks.wait_for(CLOCK, "its first thread to end", lambda: "Z" in state_of(running.pid), within=10)
        assert process.accepts(Address("127.0.0.1", port))
        assert process.Pid.of(running.pid) is not None
        running.kill()
    assert process.Pid.of(running.pid) is None


def state_of(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
