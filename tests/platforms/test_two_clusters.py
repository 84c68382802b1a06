"""Two clusters as two regions, as far as it takes no cluster: how they are named, what is refused, and that a region's faults are in its own cluster.

`tests/faults/test_kubernetes_faults.py` has the rest, with DRPLATFORM_TEST_CONTEXTS.
"""

import asyncio
import functools
import json
import os
import socket
import threading

import click
import pytest
import yaml
from click.testing import CliRunner
from real_servers import CLOCK
from test_kubernetes_platform import base, node

from drplatform.cli import options
from drplatform.environment import Environment, Settings, by_region, guarding
from drplatform.model import drill, errors
from drplatform.platforms.embedded import layout
from drplatform.platforms.embedded.process import Waits
from drplatform.platforms.kubernetes import Cluster, KubernetesPlatform, actions, carrying, doors, manifests, placed, platform, sweep
from drplatform.platforms.kubernetes.site import GATEWAY, Site

CONTEXTS = {"primary": "here", "secondary": "there"}


# -- how they are named -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ([""], {"": ""}),
        (["arn:aws:eks:eu-west-1:1:cluster/a=b"], {"": "arn:aws:eks:eu-west-1:1:cluster/a=b"}),
        (["secondary=b", "primary=a"], {"primary": "a", "secondary": "b"}),
        (["primary=x=y", " secondary=b"], {"primary": "x=y", "secondary": "b"}),
    ],
)
def test_one_context_is_of_both_regions_and_two_are_of_one_each(told, found):
    assert by_region(told) == found and list(by_region(told)) == list(found)


@pytest.mark.parametrize(
    "told",
    [
        ["primary=a"],
        ["secondary="],
        ["a", "b"],
        ["primary=a", "b"],
        ["primary=a", "primary=b"],
        ["primary=a", "secondary=a"],
        ["primary=a", "secondary="],
        ["primary=a", "witness=b"],
        ["primary=a", "secondary=b", "witness=c"],
    ],
)
def test_contexts_that_are_neither_are_refused(told):
    with pytest.raises(errors.SettingsError, match=r"primary=CONTEXT and secondary=CONTEXT"):
        by_region(told)


def test_a_command_takes_them_before_the_environment_does():
    told = Settings.read({"DRPLATFORM_CONTEXT": "primary=a,secondary=b"})
    assert told.contexts == {"primary": "a", "secondary": "b"} and told.context == "a", "of what is asked of one cluster"
    assert Settings.read({}).contexts == {"": ""} and Settings.read({}).context == ""
    assert Settings.read({"DRPLATFORM_CONTEXT": "c"}).context == "c"

    @click.command()
    @options.settings_options
    def command(**told):
        click.echo(json.dumps(dict(options.settings(**told).contexts)))

    def said(*words):
        return CliRunner().invoke(command, words, env={"DRPLATFORM_CONTEXT": "primary=a,secondary=b"}, catch_exceptions=False).output

    assert json.loads(said()) == {"primary": "a", "secondary": "b"} and json.loads(said("--context", "c")) == {"": "c"}
    assert json.loads(said("--context", "secondary=d", "--context", "primary=c")) == {"primary": "c", "secondary": "d"}


# -- clusters that say what is asked of them ---------------------------------------------------------------------------------------


class Clusters:
    """Two clusters of two nodes each, of the same names, by a kubectl that notes what it is told."""

    def __init__(self, directory):
        self.directory = directory
        (directory / "bin").mkdir()
        program = directory / "bin" / "kubectl"
        program.write_text(
            f'#!/bin/sh\ncd {directory}\necho "$*" >> said\n[ -e "$2/away" ] && {{ echo no route >&2; exit 1; }}\n'
            'if [ -e "$2/$4" ]; then cat "$2/$4"; else echo "{}"; fi\n'
        )
        program.chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{directory / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        for number, context in enumerate(CONTEXTS.values()):
            (directory / context).mkdir()
            self.has(context, "nodes", items=[self.node(name, number) for name in ("node-1", "node-2")])
            self.has(context, "namespace", metadata={"uid": f"cluster-{context}"})
            server = f"https://{context}.example.org:6443"
            self.has(context, "view", contexts=[{"name": context}], clusters=[{"name": context, "cluster": {"server": server}}])

    def node(self, name, number, **metadata):
        found = node(name)
        found["metadata"].update(metadata)
        found["status"]["addresses"] = [
            {"type": "Hostname", "address": name},
            {"type": "InternalIP", "address": f"10.{number}.0.{name[-1]}"},
        ]
        return found

    def has(self, context, what, **content):
        (self.directory / context / what).write_text(json.dumps(content))

    def pod(self, context, name, uid="uid-1", on="node-2"):
        metadata = {"name": f"{name}-0", "uid": uid, "labels": {manifests.SERVER: name}}
        self.has(context, "pods", items=[{"metadata": metadata, "spec": {"nodeName": on}}])

    def open(self, **told):
        return KubernetesPlatform.open_cluster(CLOCK, self.directory / "scratch", self.environment, contexts=CONTEXTS, **told)

    def cluster(self, context):
        return Cluster("", context, self.environment)

    def said(self, context, *words):
        """What one of them was told, of what begins with one of the words."""
        lines = (self.directory / "said").read_text().splitlines()
        found = [line.removeprefix(f"--context {context} ") for line in lines if line.startswith(f"--context {context} ")]
        return [line for line in found if line.startswith(words)]


@pytest.fixture
def clusters(tmp_path):
    return Clusters(tmp_path)


@pytest.fixture
def entered(clusters):
    """A platform that is in both, with nothing in it yet."""
    made = clusters.open()
    made.id = "0badcafe"
    for site in made._sites:
        site.open(made.namespace, [{}, {}])
    for region in layout.REGIONS:
        made._places[f"redis-{region}-1"] = layout.Place(f"redis-{region}-1", layout.REDIS, region, "127.0.0.1", {layout.PUBLIC: 1})
    return made


def test_a_region_is_all_of_its_cluster_and_what_is_in_no_region_is_with_the_second(entered):
    assert entered.nodes("primary") == {"primary/node-1": True, "primary/node-2": True}
    assert entered.nodes("secondary") == {"secondary/node-1": True, "secondary/node-2": True}
    assert [entered.site(r).name for r in (*layout.REGIONS, layout.VAULT, layout.WITNESS)] == ["primary", *["secondary"] * 3]


def test_two_contexts_of_one_cluster_are_no_two_regions(clusters):
    clusters.has("there", "namespace", metadata={"uid": "cluster-here"})
    with pytest.raises(errors.SettingsError, match="here and there are of the same cluster; name one"):
        clusters.open()


@pytest.mark.parametrize("away", CONTEXTS.values())
def test_a_cluster_that_does_not_answer_is_named_before_anything_is_made(clusters, away):
    (clusters.directory / away / "away").touch()
    with pytest.raises(errors.SettingsError, match=f"The cluster of {away} does not answer"):
        clusters.open()
    assert not clusters.said("here", "apply") and not clusters.said("there", "apply")


def test_guardrails_hold_for_each_of_the_two(clusters, tmp_path):
    scenario = drill.Scenario("of a test", "a pod is killed", (), (drill.Inflict("pod-killed", {}, text="a pod is killed"),))
    rules, made = tmp_path / "guardrails.yaml", clusters.open()

    def required(text):
        rules.write_text(text)
        guarding.require_clusters(Settings(guardrails=rules), CLOCK, scenario, made)

    required("contexts: [here, there]")
    required("{contexts: [here], hosts: [there.example.org]}")
    for text, words in (("contexts: [here]", "the cluster of there"), ("contexts: [there]", "the cluster of here")):
        with pytest.raises(errors.PlanError, match=words):
            required(text)
    with pytest.raises(errors.PlanError, match="the cluster of there is production"):
        required("{contexts: [here], production: [there]}")


# -- a fault of a region is in its own cluster --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("region", "own", "other"), [("primary", "here", "there"), ("secondary", "there", "here")])
def test_nodes_and_pods_of_a_region_are_those_of_its_cluster(clusters, entered, monkeypatch, region, own, other):
    done = []
    monkeypatch.setattr(Cluster, "act", lambda cluster, wanted, directory: done.append((cluster.place()[0], *wanted)))
    for context, uid in (("here", "uid-here"), ("there", "uid-there")):
        clusters.pod(context, f"redis-{region}-1", uid)
    assert {name: (pod.uid, pod.node) for name, pod in entered.pods(region).items()} == {
        f"redis-{region}-1": (f"uid-{own}", f"{region}/node-2")
    }
    entered.cordon(list(entered.nodes(region)))
    entered.delete_pods(region, [f"redis-{region}-1"])
    entered.evict_pods(region, [f"redis-{region}-1"])
    entered._delete_pod(f"redis-{region}-1")
    assert done == [
        (own, actions.cordon("node-1"), actions.cordon("node-2")),
        (own, actions.terminate_pods(entered.namespace, [f"redis-{region}-1-0"])),
    ]
    assert [line.split()[:3] for line in clusters.said(own, "patch")] == [["patch", "node", name] for name in ("node-1", "node-2")]
    assert len(clusters.said(own, "delete pod", "create --raw")) == 2 and entered._gone == {f"redis-{region}-1": f"uid-{own}"}
    assert not clusters.said(other, "patch", "delete", "create")


def test_only_nodes_that_this_platform_has_cordoned_are_opened_and_only_in_their_cluster(clusters, entered):
    mine, foreign = {placed.CORDONED: entered.owner}, {placed.CORDONED: "another:/tmp"}
    for number, context in enumerate(CONTEXTS.values()):
        clusters.has(
            context,
            "nodes",
            items=[clusters.node("node-1", number, annotations=mine), clusters.node("node-2", number, annotations=foreign)],
        )
    entered.uncordon(["secondary/node-1", "secondary/node-2"])
    assert len(clusters.said("there", "patch node node-1")) == 1
    assert not clusters.said("there", "patch node node-2") and not clusters.said("here", "patch")


@pytest.mark.parametrize("away", [None, *CONTEXTS.values()])
def test_leftovers_are_removed_in_both_also_when_one_of_them_does_not_answer(clusters, away):
    owned = {"annotations": {manifests.OWNER: platform.owner(clusters.directory / "scratch" / "gone")}}
    for number, context in enumerate(CONTEXTS.values()):
        clusters.has(context, "namespaces", items=[{"metadata": {"name": "drplatform-gone", **owned}}])
        cordoned = {placed.CORDONED: platform.owner(clusters.directory / "scratch" / "gone")}
        clusters.has(context, "nodes", items=[clusters.node("node-1", number, annotations=cordoned)])
    found = [clusters.cluster(context) for context in CONTEXTS.values()]
    if away:
        (clusters.directory / away / "away").touch()
        with pytest.raises(errors.StoreError, match="no route"):
            sweep(clusters.directory / "scratch", CLOCK, found)
    else:
        assert sweep(clusters.directory / "scratch", CLOCK, found) == 1, "one platform, in two clusters"
    for context in set(CONTEXTS.values()) - {away}:
        assert clusters.said(context, "delete namespace drplatform-gone") and clusters.said(context, "patch node node-1")


def test_healing_looks_into_both(clusters, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", clusters.environment["PATH"])
    for context in CONTEXTS.values():
        clusters.has(context, "namespaces", items=[])
    env = Environment.open(Settings(platform="kubernetes", contexts=CONTEXTS, scratch=tmp_path / "scratch", state=tmp_path / "state"))
    assert env.sweep() == 0
    assert all(clusters.said(context, "get namespaces") for context in CONTEXTS.values())


@pytest.mark.parametrize("away", [None, *CONTEXTS.values()])
def test_what_fails_in_one_cluster_keeps_nothing_in_the_other(clusters, monkeypatch, away):
    """The start fails when there are namespaces, and by then one of the clusters does not answer any more."""

    def fail(*told, **more):
        if away:
            (clusters.directory / away / "away").touch()
        raise errors.StoreError("it failed")

    made = clusters.open()
    monkeypatch.setattr(Cluster, "rendered", lambda cluster, directory: base())
    monkeypatch.setattr(made, "_make_machines", fail)
    with pytest.raises(errors.StoreError, match="no route" if away else "it failed"):
        made.start()
    for context in set(CONTEXTS.values()) - {away}:
        assert clusters.said(context, "delete namespace drplatform-")
    assert not list((clusters.directory / "scratch").glob("[0-9a-f]*")), "nothing is left here"


@pytest.mark.parametrize(("region", "own", "other"), [("primary", "here", "there"), ("secondary", "there", "here")])
def test_the_machine_of_a_service_is_made_in_the_cluster_of_its_region_alone(clusters, entered, region, own, other):
    entered._rendered = base()
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    metadata = {"name": f"api-{region}-0", "labels": {manifests.SERVER: f"api-{region}"}}
    clusters.has(own, "pods", items=[{"metadata": metadata, "spec": {}, "status": ready}])
    clusters.has(own, "services", items=[{"metadata": {"name": f"api-{region}"}, "spec": {"clusterIP": "10.96.0.9", "ports": []}}])
    before = len(clusters.said(other, "apply"))
    entered._make_machines({f"api-{region}": region})
    assert entered.site(region).entries == {f"api-{region}": "10.96.0.9:9999"} and len(clusters.said(other, "apply")) == before
    assert not clusters.said(other, "get pods", "get services")


# -- how they reach each other ------------------------------------------------------------------------------------------------------


def test_the_gateway_alone_has_a_port_at_every_node():
    made = manifests.with_door([d for name in (GATEWAY, "redis-primary-1") for d in manifests.of_machine(base(), name, [])], GATEWAY)
    types = {d["metadata"]["name"]: d["spec"].get("type") for d in made if d["kind"] == "Service"}
    assert types == {GATEWAY: "NodePort", "redis-primary-1": None}
    (policy,) = (d for d in made if d["kind"] == "NetworkPolicy")
    assert policy["spec"]["podSelector"]["matchLabels"] == {manifests.SERVER: GATEWAY}
    assert policy["spec"]["ingress"] == [{"ports": [{"protocol": "TCP", "port": manifests.ENTRY}]}]
    assert yaml.safe_dump_all(made)


@pytest.fixture
def site(clusters, monkeypatch):
    monkeypatch.setattr(doors, "SECONDS_TO_OPEN", 0.2)
    found = Site(clusters.cluster("there"), "secondary")
    found.open("drplatform-1", [{}, {}])
    service = {"clusterIP": "10.96.0.1", "ports": [{"nodePort": 31000}]}
    clusters.has("there", "services", items=[{"metadata": {"name": GATEWAY}, "spec": service}])
    clusters.pod("there", GATEWAY, "uid-gateway", on="node-2")
    found.make(base(), {GATEWAY: ""})
    return found


def found_by(site, pod):
    return doors.find(site, "pods of primary", pod, Waits(CLOCK, threading.Event()))


def test_a_door_is_where_the_gateway_itself_answers_first_on_its_own_node(site):
    assert site.doors() == ["10.1.0.2:31000", "10.1.0.1:31000"] and site.entries == {GATEWAY: "10.96.0.1:9999"}
    assert found_by(site, lambda door: "uid-gateway") == "10.1.0.2:31000"
    assert found_by(site, {"10.1.0.1:31000": "uid-gateway"}.get) == "10.1.0.1:31000"


def test_another_pod_behind_a_door_or_none_is_refused_with_what_was_seen(site, clusters):
    def pod(door):
        if door.startswith("10.1.0.1"):
            raise errors.StoreError("The machine does not answer.")
        return "uid-of-primary"

    with pytest.raises(
        errors.SettingsError, match=r"secondary is not reached by pods of primary.*another pod answers.*does not answer.*node ports"
    ):
        found_by(site, pod)
    clusters.has("there", "pods", items=[])
    with pytest.raises(errors.SettingsError, match="not reached"):
        found_by(site, lambda door: "")


def test_servers_of_the_other_cluster_are_reached_by_its_door_and_those_of_the_same_directly(entered):
    """The services of both clusters may have the same addresses."""
    for site in entered._sites:
        site.entries, site.door = {f"redis-{site.name}-1": "10.96.0.7:9999"}, f"door-of-{site.name}:31000"
    entered.site("secondary").entries["files-vault-1"] = "10.96.0.8:9999"
    entered._places["files-vault-1"] = layout.Place("files-vault-1", layout.FILES, layout.VAULT, "127.0.0.9", {layout.PUBLIC: 2})
    told = entered._ways._routes("redis-primary-1")
    assert told["routes"] == [("127.0.0.1", 1, "10.96.0.7:9999", "secondary"), ("127.0.0.9", 2, "10.96.0.8:9999", "secondary")]
    assert told["gateways"] == {"secondary": "door-of-secondary:31000"} and told["origin"] == "primary"
    told = entered._ways._routes("redis-secondary-1")
    assert told["routes"] == [("127.0.0.1", 1, "10.96.0.7:9999", "primary"), ("127.0.0.9", 2, "10.96.0.8:9999", None)]
    assert told["gateways"] == {"primary": "door-of-primary:31000"}


@pytest.mark.parametrize("gateway", [None, "secondary"])
def test_a_connection_says_where_it_comes_from_at_each_hop(gateway):
    async def run():
        heard = asyncio.get_running_loop().create_future()

        async def hear(reader, writer):
            heard.set_result([json.loads(await reader.readline()) for _ in ([1, 2] if gateway else [1])])
            writer.close()

        there = await asyncio.start_server(hear, "127.0.0.1", 0)
        at = "{}:{}".format(*there.sockets[0].getsockname())
        with socket.socket() as taken:
            taken.bind(("127.0.0.2", 0))
            port = taken.getsockname()[1]
        routes = carrying.Routes("a-token", {"secondary": functools.partial(carrying.dialled, at)}, origin="primary")
        await routes.set([("127.0.0.2", port, "10.96.0.7:9999" if gateway else at, gateway)])
        _, writer = await asyncio.open_connection("127.0.0.2", port)
        found = await asyncio.wait_for(heard, 20)
        writer.close()
        return found, port

    found, port = asyncio.run(run())
    said = {"token": "a-token", "from": "primary"}
    assert found == [*([{**said, "to": "10.96.0.7:9999"}] if gateway else []), {**said, "to": f"127.0.0.2:{port}"}]
