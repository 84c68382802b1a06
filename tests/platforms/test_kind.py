"""A cluster by kind: everything that speaks against it is told at once, before anything is made; and in which order it is made."""

import os
import stat

import pytest
import yaml

from drplatform.model import errors
from drplatform.platforms.kubernetes import kind

GOOD = kind.Host(frozenset(kind.PROGRAMS), "", 524_288, 512, 16_000, 50_000)


def test_a_machine_that_has_everything_has_no_problem():
    assert list(kind.problems(GOOD)) == []


def test_everything_that_is_missing_is_told_at_once_with_what_to_do():
    found = list(kind.problems(kind.Host(frozenset({"docker"}), "permission denied", 8192, 128, 1000, 2000)))
    assert len(found) == 7
    for words in (
        "`kind`",
        "`kubectl`",
        "permission denied",
        "sysctl fs.inotify.max_user_watches=524288",
        "max_user_instances=512",
        "memory",
        "disk",
    ):
        assert any(words in problem for problem in found), words


def test_what_cannot_be_read_is_no_problem():
    assert list(kind.problems(kind.Host(GOOD.programs, "", None, None, None, None))) == []


def test_the_machine_is_looked_at(tmp_path):
    inotify = tmp_path / "proc/sys/fs/inotify"
    inotify.mkdir(parents=True)
    (inotify / "max_user_watches").write_text("8192\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal: 1 kB\nMemAvailable:    2097152 kB\n")
    found = kind.look({"PATH": str(tmp_path)}, kind.runner({}), tmp_path)
    assert (found.watches, found.instances, found.memory_mib) == (8192, None, 2048)
    assert found.programs == frozenset() and found.disk_mib is not None


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with programs that note how they were called; `kind` fails where the file `broken` is."""
    monkeypatch.setattr(kind, "look", lambda environment, run: GOOD)
    for program in ("docker", "kind"):
        file = tmp_path / program
        file.write_text(
            f'#!/bin/sh\necho {program} "$@" >> {tmp_path}/calls\ntest ! -e {tmp_path}/broken-{program} || {{ echo no room >&2; exit 1; }}\n'
        )
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")  # where programs are looked for
    return tmp_path


def test_a_cluster_is_made_with_the_regions_and_given_the_image(machine):
    assert kind.up({"PATH": f"{machine}:/usr/bin:/bin"}, "servers:1") == "kind-drplatform"
    calls = (machine / "calls").read_text().splitlines()
    assert [" ".join(call.split()[:3]) for call in calls] == ["docker image inspect", "kind create cluster", "kind load docker-image"]
    assert str(kind.CONFIG) in calls[1] and "servers:1" in calls[2]
    nodes = yaml.safe_load(kind.CONFIG.read_text())["nodes"]
    assert {n["labels"]["drplatform.io/region"] for n in nodes if "labels" in n} == {"primary", "secondary"}


@pytest.mark.parametrize(("broken", "words"), [("docker", "platform images build"), ("kind", "no room")])
def test_what_fails_is_told_and_nothing_more_is_done(machine, broken, words):
    (machine / f"broken-{broken}").touch()
    with pytest.raises(errors.SettingsError, match=words):
        kind.up({"PATH": f"{machine}:/usr/bin:/bin"}, "servers:1")
    assert "kind load" not in (machine / "calls").read_text()


def test_without_a_copy_of_the_repository_nothing_is_made(machine):
    with pytest.raises(errors.SettingsError, match="copy of the drplatform repository"):
        kind.up({"PATH": str(machine)}, "servers:1", machine / "none.yaml")
    assert not (machine / "calls").exists()
