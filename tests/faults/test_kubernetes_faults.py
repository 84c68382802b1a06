"""Faults on a real cluster, named by DRPLATFORM_TEST_KUBECONFIG: those on pods and nodes, and those that need the kernel of a pod.

The image of the servers is DRPLATFORM_TEST_IMAGE, else drplatform-servers. Nodes are cordoned: a cluster where that disturbs nobody.
"""

import os

import fault_world as worlds
import pytest
from real_servers import CLOCK
from test_fault_conformance import Case, answers_ping, conform, narrow, slow, stalls, takes_a_connection, vault_takes, writes_to_disk

from drplatform.engine import capabilities
from drplatform.model import errors
from drplatform.platforms.kubernetes import Cluster, KubernetesPlatform, placed, platform, sweep

VARIABLE = "DRPLATFORM_TEST_KUBECONFIG"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    kubeconfig = os.environ.get(VARIABLE)
    if not kubeconfig:
        pytest.skip(f"needs a real cluster: set {VARIABLE} to its kubeconfig")
    directory = tmp_path_factory.mktemp("cluster")
    image = os.environ.get("DRPLATFORM_TEST_IMAGE", "drplatform-servers")
    (directory / "base").mkdir(mode=0o700)
    try:
        made = KubernetesPlatform.open_cluster(CLOCK, directory / "base", os.environ, image=image, kubeconfig=kubeconfig)
    except errors.SettingsError as error:
        pytest.skip(f"needs a cluster with nodes: {error}")
    with worlds.World(directory, made) as entered:
        yield entered


def servers_in_pods(world):
    """The cluster's own view: the pods of the primary region's Redis."""
    listed = world.platform._cluster.get("pods", "-n", world.platform.namespace)["items"]
    name = world.server("redis").name
    return [p["metadata"]["uid"] for p in listed if p["metadata"]["name"] == f"{name}-0"]


def closed_nodes(world):
    return [n["metadata"]["name"] for n in world.platform._cluster.get("nodes")["items"] if n["spec"].get("unschedulable")]


def running(world):
    return [s.name for r in world.platform.regions if r.name == "primary" for s in r.instances if s.running()]


CASES = {
    "server-hung": Case(answers_ping),
    "server-killed": Case(running),
    "descriptors-exhausted": Case(takes_a_connection),
    "disk-full": Case(writes_to_disk),
    "vault-full": Case(vault_takes),
    "vault-unreachable": Case(vault_takes),
    "region-killed": Case(running),
    "network-cut": Case(takes_a_connection),
    "network-slow": Case(lambda w: slow(w), {"seconds": 0.4}),
    "network-lossy": Case(stalls, {"share": 0.95}),
    "network-narrow": Case(narrow, {"rate": 2048.0}),
    "connections-reset": Case(takes_a_connection),
    "pod-killed": Case(servers_in_pods, undone=False),
    "node-drained": Case(closed_nodes),
    "node-lost": Case(closed_nodes),
}


@pytest.mark.parametrize("kind", CASES)
def test_a_fault_in_a_cluster_is_captured_applied_confirmed_and_healed(world, tmp_path, kind):
    if kind.startswith("node-") and set(world.platform.nodes("primary")) & set(world.platform.nodes("secondary")):
        pytest.skip("needs a cluster with a node for each region")
    conform(world, tmp_path, kind, CASES[kind])


def test_a_node_that_a_killed_run_has_cordoned_takes_pods_again_and_others_stay_as_they_are(world, tmp_path):
    cluster, (node, *_) = world.platform._cluster, world.platform.nodes("secondary")
    cluster.close_node(node, {placed.CORDONED: "another machine:/tmp/x"})
    try:
        sweep(world.directory / "base", CLOCK, cluster)
        assert node in closed_nodes(world), "another machine's is nobody's business here"
        cluster.close_node(node, {placed.CORDONED: platform.owner(world.directory / "base" / "gone")})
        sweep(world.directory / "base", CLOCK, cluster)
        assert node not in closed_nodes(world) and node not in placed.cordoned(cluster)
    finally:
        cluster.open_node(node, placed.CORDONED)


def test_what_the_platform_offers_on_a_real_cluster(world):
    offered = capabilities.offered(world.platform, world.stores, ())
    wanted = {"pods", "vault-server", "pausable:primary", "limited:secondary", "traceable:primary", "erasable:primary"}
    assert wanted <= offered and not {"pressure", "on-disk:primary"} & offered


def test_a_cluster_in_this_machine_has_no_nodes_of_ours_cordoned_afterwards(world):
    assert isinstance(world.platform._cluster, Cluster) and not placed.cordoned(world.platform._cluster)
