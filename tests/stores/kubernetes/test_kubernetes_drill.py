"""A cluster is drilled as people do it, by the command; its namespace comes back, is measured, and is gone afterwards."""

import json
import os
import subprocess
import sys
from pathlib import Path

import drplatform
from drplatform.environment import clusters
from drplatform.stores.kubernetes import spaces
from drplatform.stores.kubernetes.selection import Selection

FEATURE = Path(drplatform.__file__).parents[1] / "features/quarterly/cluster_recovery.feature"
CHECKS = {
    "kubernetes has its reference data unchanged",
    "the cluster of kubernetes has no unexplained difference from its backup",
    "the cluster of kubernetes is healthy",
    "the backups that kubernetes was recovered from are whole",
}


def test_a_deleted_namespace_comes_back_and_is_measured(kubeconfig, cluster, tmp_path):
    places = {"DRPLATFORM_STATE": str(tmp_path / "state"), "DRPLATFORM_SCRATCH": str(tmp_path), "DRPLATFORM_KUBECONFIG": kubeconfig}
    command = [sys.executable, "-c", "from drplatform.cli import main; main()", "drill", "run", str(FEATURE), "--reports", str(tmp_path)]
    done = subprocess.run(command, env={**os.environ, **places}, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    (file,) = (f for f in tmp_path.glob("*/*.json") if ".dsse" not in f.name and "allure" not in str(f))
    evidence = json.loads(file.read_text())
    assert evidence["verdict"] == "PASSED"
    caught = {c["name"] for c in evidence["checks"] if c["control"] == "caught" and c["verdict"] == "PASSED"}
    assert caught >= CHECKS
    assert {(m["name"], m["subject"]) for m in evidence["measurements"]} >= {("rto", "kubernetes"), ("rpo", "kubernetes")}
    (fault,) = evidence["faults"]
    (namespace,) = fault["targets"]
    assert namespace.startswith("drplatform-drill-")
    assert namespace not in {space.name for space in spaces.listed(cluster, Selection())}, "nothing of the drill stays"


def test_the_namespace_of_a_drill_that_died_is_swept_and_no_other(connect, namespace, tmp_path):
    mine = connect(namespaces=namespace, owner=clusters.owner(tmp_path / "died"))
    other = connect(namespaces=f"{namespace}-copy", owner=clusters.owner(tmp_path))
    for store in (mine, other):
        store.seed(1, 3)
    assert set(mine.namespaces()) == {namespace}
    assert mine.sweep(lambda found: clusters.is_gone(found, tmp_path)) == 1
    assert not mine.namespaces() and other.namespaces()
