"""Faults on a real cluster, named by DRPLATFORM_TEST_KUBECONFIG: those on namespaces, pods and nodes, and those that need the kernel of a pod.

The image of the servers is DRPLATFORM_TEST_IMAGE, else drplatform-servers. Nodes are cordoned: a cluster where that disturbs nobody.
"""

import hashlib
import json
import os
import secrets

import fault_world as worlds
import pytest
from real_servers import CLOCK
from test_fault_conformance import Case, answers_ping, conform, narrow, slow, stalls, takes_a_connection, vault_takes, writes_to_disk

from drplatform import environment
from drplatform.engine import capabilities
from drplatform.model import drill, errors, ports
from drplatform.platforms.kubernetes import Cluster, KubernetesPlatform, actions, placed, platform, sweep
from drplatform.platforms.memory import MemoryPlatform

VARIABLE = "DRPLATFORM_TEST_KUBECONFIG"


@pytest.fixture(scope="module")
def kubeconfig():
    if not os.environ.get(VARIABLE):
        pytest.skip(f"needs a real cluster: set {VARIABLE} to its kubeconfig")
    return os.environ[VARIABLE]


@pytest.fixture(scope="module")
def world(tmp_path_factory, kubeconfig):
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


class Spaced:
    """A namespace of its own in the cluster, with reference content; what `conform` needs of a world."""

    def __init__(self, directory, kubeconfig):
        self.kubeconfig, self.name = kubeconfig, f"drplatform-test-{secrets.token_hex(4)}"
        options = {"kubeconfig": kubeconfig, "namespaces": self.name}
        self.store = environment.connect(ports.Endpoint(drill.CLUSTER, options=options), CLOCK)
        self.platform, self.stores = MemoryPlatform(directory), {drill.CLUSTER: self.store}
        self.scene = ports.Scene(self.platform, self.stores, CLOCK)

    def settle(self):
        """Nothing takes its time here."""

    def objects(self):
        """By kubectl: what is there, with a digest of what each secret and config map holds; without what a cluster adds to a namespace by itself."""
        names = "deployments,services,configmaps,secrets,serviceaccounts,roles,rolebindings,networkpolicies,cronjobs"
        listed = Cluster(self.kubeconfig, "", os.environ).get(names, "-n", self.name)["items"]
        digest = {(o["kind"], o["metadata"]["name"]): hashlib.sha256(json.dumps(o.get("data")).encode()).hexdigest() for o in listed}
        return {key: value for key, value in digest.items() if key[1] not in ("default", "kube-root-ca.crt")}


@pytest.fixture
def spaced(tmp_path, kubeconfig):
    (tmp_path / "platform").mkdir()
    made = Spaced(tmp_path / "platform", kubeconfig)
    made.store.seed(3, 60)
    yield made
    made.store.drop(made.name)
    made.store.close()


def test_a_deleted_namespace_comes_back_with_its_secrets(spaced, tmp_path):
    assert len(spaced.objects()) > 10
    conform(spaced, tmp_path, "namespace-deleted", Case(Spaced.objects))
    assert not list((spaced.platform.directory / "aside").iterdir()), "the copy is gone"


def test_namespaces_of_the_cluster_itself_are_never_deleted(kubeconfig):
    store = environment.connect(ports.Endpoint(drill.CLUSTER, options={"kubeconfig": kubeconfig, "namespaces": "kube-system"}), CLOCK)
    with pytest.raises(errors.StoreError, match="not deleted"):
        store.drop("kube-system")
    store.close()


def test_a_node_that_a_killed_run_has_cordoned_takes_pods_again_and_others_stay_as_they_are(world, tmp_path):
    cluster, (node, *_) = world.platform._cluster, world.platform.nodes("secondary")
    cluster.note_on_node(node, {placed.CORDONED: "another machine:/tmp/x"})
    cluster.act([actions.cordon(node)], tmp_path)
    try:
        sweep(world.directory / "base", CLOCK, cluster)
        assert node in closed_nodes(world), "another machine's is nobody's business here"
        cluster.note_on_node(node, {placed.CORDONED: platform.owner(world.directory / "base" / "gone")})
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
