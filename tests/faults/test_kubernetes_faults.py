"""Faults on a real cluster, named by DRPLATFORM_TEST_KUBECONFIG: those on namespaces, pods and nodes, and those that need the kernel of a pod.

The image of the servers is DRPLATFORM_TEST_IMAGE, else drplatform-servers. Nodes are cordoned: a cluster where that disturbs nobody.
With DRPLATFORM_TEST_CONTEXTS=A,B the regions are two clusters, by these contexts of the kubeconfig; with DRPLATFORM_TEST_IN_CLUSTER their gateways
are dialled, without `kubectl port-forward`.
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
from drplatform.engine import capabilities, faulting
from drplatform.model import drill, errors, ports
from drplatform.model.timeline import Timeline
from drplatform.platforms.embedded import layout
from drplatform.platforms.kubernetes import Cluster, KubernetesPlatform, actions, placed, platform, sweep
from drplatform.platforms.memory import MemoryPlatform

VARIABLE, CONTEXTS, IN_CLUSTER = "DRPLATFORM_TEST_KUBECONFIG", "DRPLATFORM_TEST_CONTEXTS", "DRPLATFORM_TEST_IN_CLUSTER"


@pytest.fixture(scope="module")
def kubeconfig():
    if not os.environ.get(VARIABLE):
        pytest.skip(f"needs a real cluster: set {VARIABLE} to its kubeconfig")
    return os.environ[VARIABLE]


@pytest.fixture(scope="module")
def world(tmp_path_factory, kubeconfig):
    directory = tmp_path_factory.mktemp("cluster")
    image = os.environ.get("DRPLATFORM_TEST_IMAGE", "drplatform-servers")
    contexts = dict(zip(layout.REGIONS, os.environ[CONTEXTS].split(","), strict=True)) if os.environ.get(CONTEXTS) else {"": ""}
    told = {"image": image, "kubeconfig": kubeconfig, "contexts": contexts, "direct": bool(os.environ.get(IN_CLUSTER))}
    (directory / "base").mkdir(mode=0o700)
    try:
        made = KubernetesPlatform.open_cluster(CLOCK, directory / "base", os.environ, **told)
    except errors.SettingsError as error:
        pytest.skip(f"needs a cluster with nodes: {error}")
    with worlds.World(directory, made) as entered:
        yield entered


def servers_in_pods(world):
    """The cluster's own view: the pods of the primary region's Redis."""
    listed = world.platform.site("primary").cluster.get("pods", "-n", world.platform.namespace)["items"]
    name = world.server("redis").name
    return [p["metadata"]["uid"] for p in listed if p["metadata"]["name"] == f"{name}-0"]


def closed_nodes(world):
    listed = [(site, n) for site in world.platform._sites for n in site.cluster.get("nodes")["items"]]
    return [site.called(n["metadata"]["name"]) for site, n in listed if n["spec"].get("unschedulable")]


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


@pytest.fixture
def parted(world):
    """The sites of the two regions, where they are clusters of their own."""
    if len(world.platform._sites) < 2:
        pytest.skip(f"needs two real clusters: set {CONTEXTS} to two contexts of the kubeconfig")
    return [world.platform.site(region) for region in layout.REGIONS]


def seen(world, site):
    """All of one cluster, by its own API server: pods of the platform, open nodes, and which servers in them run."""
    pods = {p["metadata"]["name"]: p["metadata"]["uid"] for p in site.cluster.get("pods", "-n", world.platform.namespace)["items"]}
    nodes = {n["metadata"]["name"]: n["spec"].get("unschedulable", False) for n in site.cluster.get("nodes")["items"]}
    servers = [i for r in world.platform.regions for i in r.instances if world.platform.site(i.region) is site]
    return pods, nodes, {i.name: i.trace() for i in servers}


@pytest.mark.parametrize("region", layout.REGIONS)
@pytest.mark.parametrize("kind", ["region-killed", "node-lost", "node-drained", "network-cut"])
def test_a_fault_of_a_region_is_in_its_own_cluster_only(world, parted, tmp_path, kind, region):
    world.settle()
    own, other = parted if region == layout.PRIMARY else parted[::-1]
    untouched, before = seen(world, other), seen(world, own)
    with faulting.Faulting(world.scene, tmp_path / "faults.jsonl", CLOCK, Timeline(CLOCK)) as faults:
        faults.inflict(environment.fault(kind)(region=region))
        assert seen(world, other)[:2] == untouched[:2]
        assert all(found["pid"] == untouched[2][name]["pid"] for name, found in seen(world, other)[2].items()), "the same processes run"
        assert kind == "network-cut" or seen(world, own) != before
        assert seen(world, own)[0].keys() >= {"gateway-0"}
    world.settle()


def test_each_cluster_holds_its_region_and_the_second_what_is_in_none(world, parted):
    for site in parted:
        held = {name.removesuffix("-0") for name in seen(world, site)[0]}
        mine = {i.name for r in world.platform.regions for i in r.instances if i.region == site.name}
        assert held == mine | {"gateway"} | ({world.platform.vault_server.name} if site.name == layout.SECONDARY else set())


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
    site = world.platform.site("secondary")
    cluster, (node, *_) = site.cluster, site.nodes["secondary"]
    called = site.called(node)
    cluster.note_on_node(node, {placed.CORDONED: "another machine:/tmp/x"})
    cluster.act([actions.cordon(node)], tmp_path)
    try:
        sweep(world.directory / "base", CLOCK, [cluster])
        assert called in closed_nodes(world), "another machine's is nobody's business here"
        cluster.note_on_node(node, {placed.CORDONED: platform.owner(world.directory / "base" / "gone")})
        sweep(world.directory / "base", CLOCK, [cluster])
        assert called not in closed_nodes(world) and node not in placed.cordoned(cluster)
    finally:
        cluster.open_node(node, placed.CORDONED)


def test_what_the_platform_offers_on_a_real_cluster(world):
    offered = capabilities.offered(world.platform, world.stores, ())
    wanted = {"pods", "vault-server", "pausable:primary", "limited:secondary", "traceable:primary", "erasable:primary"}
    assert wanted <= offered and not {"pressure", "on-disk:primary"} & offered


def test_a_cluster_in_this_machine_has_no_nodes_of_ours_cordoned_afterwards(world):
    assert world.platform._sites and not any(placed.cordoned(site.cluster) for site in world.platform._sites)
