"""The command that restores a cluster is killed without a chance to tidy up; the next one ends what it began."""

import os
import subprocess
import sys

import pytest
import yaml
from cluster_objects import remove_namespace

from drplatform.model import clock as clocks
from drplatform.stores.kubernetes import applying, seed

ITEMS = 400
COMMAND = [sys.executable, "-c", "from drplatform.cli import main; main()"]
_GROUPS = {"cronjobs": "/apis/batch/v1", "configmaps": "/api/v1", "secrets": "/api/v1"}


@pytest.fixture
def start(tmp_path, kubeconfig, namespace):
    """Starts a command line in a home of its own. It writes into files: nobody reads a pipe of a process that is to be killed."""
    options = {"kubeconfig": kubeconfig, "namespaces": namespace}
    config = {"stores": {"kubernetes": {"options": options}}, "repository": {"directory": "vault"}}
    (tmp_path / "drplatform.yaml").write_text(yaml.safe_dump(config))
    places = {"DRPLATFORM_STATE": str(tmp_path / "state"), "DRPLATFORM_SCRATCH": str(tmp_path), "DRPLATFORM_CONFIG": "drplatform.yaml"}

    def process(*arguments):
        with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
            return subprocess.Popen([*COMMAND, *arguments], cwd=tmp_path, env={**os.environ, **places}, stdout=out, stderr=err)

    return process


@pytest.fixture
def ended(start, tmp_path):
    """Runs a command line to its end; what it said."""

    def run(*arguments):
        assert start(*arguments).wait(timeout=120) == 0, (tmp_path / "err").read_text()[-2000:]
        return (tmp_path / "out").read_text()

    return run


def test_a_restore_that_was_killed_is_ended_by_the_next(start, ended, cluster, clock, namespace):
    assert applying.apply(cluster, list(seed.resources(23, ITEMS, namespace)), clock).refused == {}
    ended("keys", "generate")
    backup = ended("backups", "take", "kubernetes", "full").split()[0]
    remove_namespace(cluster, clock, namespace)
    killed = start("backups", "restore", "kubernetes", "--yes")
    clocks.wait_for(
        clock,
        "the restore to be half-way",
        lambda: killed.poll() is not None or count(cluster, namespace, "configmaps") > 3,
        within=60,
        every=0.005,
    )
    killed.kill()
    assert killed.wait(timeout=20) == -9, "planted: it was killed, and had not ended"
    assert count(cluster, namespace, "cronjobs") < ITEMS // 25, "planted: it is half there"
    ended("backups", "restore", "kubernetes", "--yes")
    assert ended("configuration", "diff", backup) == "No difference.\n"
    settled = versions(cluster, namespace)
    ended("backups", "restore", "kubernetes", "--yes")
    assert versions(cluster, namespace) == settled, "once more changes nothing"


def listed(cluster, namespace, plural):
    return cluster.get(f"{_GROUPS[plural]}/namespaces/{namespace}/{plural}")["items"]


def count(cluster, namespace, plural):
    return len(listed(cluster, namespace, plural))


def versions(cluster, namespace):
    """Of objects that no controller writes to."""
    found = [item["metadata"] for plural in ("configmaps", "secrets") for item in listed(cluster, namespace, plural)]
    return {(one["uid"], one["resourceVersion"]) for one in found}
