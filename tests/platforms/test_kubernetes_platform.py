"""The parts of the Kubernetes platform that need no cluster: which nodes are a region, what is applied, and what runs in pods."""

import asyncio
import contextlib
import inspect
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml
from real_servers import CLOCK

from drplatform.environment import Settings, guarding
from drplatform.model import clock as clocks
from drplatform.model import drill, errors, powers
from drplatform.model.ports import Address
from drplatform.platforms.embedded import layout, links
from drplatform.platforms.embedded.powers import ABSENT, RESOURCES
from drplatform.platforms.embedded.process import Waits
from drplatform.platforms.kubernetes import Cluster, KubernetesPlatform, carrying, cluster, forward, machine, manifests, remote, ways
from drplatform.platforms.kubernetes.site import Site

TOKEN = "a-token"
FORWARD = "drplatform.platforms.kubernetes.forward"
ROOT = Path(cluster.__file__).parents[3]


# -- nodes and regions ------------------------------------------------------------------------------------------------------------


def nodes(*labels, spare=()):
    return [cluster.Node(f"node-{i}", found, i in spare) for i, found in enumerate(labels)]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (nodes({"drplatform.io/region": "secondary"}, {"drplatform.io/region": "primary"}), (("node-1",), ("node-0",))),
        (nodes({"topology.kubernetes.io/region": "b"}, {"topology.kubernetes.io/region": "a"}, {}), (("node-1",), ("node-0",))),
        (nodes({"topology.kubernetes.io/zone": "z1"}, {"topology.kubernetes.io/zone": "z2"}), (("node-0",), ("node-1",))),
        (nodes({"topology.kubernetes.io/region": "same"}, {"topology.kubernetes.io/region": "same"}), (("node-0",), ("node-1",))),
        (nodes({}, {}, {}), (("node-0", "node-2"), ("node-1",))),
        (nodes({}), (("node-0",), ("node-0",))),
        (nodes({}, {}, spare={0}), (("node-0",), ("node-1",))),
        (nodes({}, {}, {}, spare={0}), (("node-1",), ("node-2",))),
    ],
)
def test_regions_are_nodes(found, expected):
    assert cluster.regions(found, layout.REGIONS) == dict(zip(layout.REGIONS, expected, strict=True))


def kubectl(directory, answer, code=0):
    """A kubectl that answers so, whatever it is asked."""
    (directory / "answer").write_text(answer)
    program = directory / "kubectl"
    program.write_text(f"#!/bin/sh\ncat {directory}/answer\necho no route >&2\nexit {code}\n")
    program.chmod(0o755)
    return str(program)


def node(name, ready="True", **spec):
    conditions = [{"type": "Ready", "status": ready}]
    return {"metadata": {"name": name}, "spec": spec, "status": {"conditions": conditions}}


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([], "The cluster has no node"),
        (
            [node("a", "False"), node("b", unschedulable=True), node("c", taints=[{"key": "x", "effect": "NoSchedule"}])],
            "3 nodes, none of them",
        ),
    ],
)
def test_a_cluster_without_nodes_that_take_pods_is_refused(tmp_path, items, words):
    found = Cluster("", "", os.environ, kubectl(tmp_path, json.dumps({"items": items})))
    with pytest.raises(errors.SettingsError, match=words):
        found.nodes()


def test_no_kubectl_and_no_answer_are_told(tmp_path):
    with pytest.raises(errors.SettingsError, match="kubectl"):
        Cluster("", "", os.environ, str(tmp_path / "none")).nodes()
    with pytest.raises(errors.SettingsError, match=r"does not answer \(kubectl get failed: no route\)"):
        Cluster("", "", os.environ, kubectl(tmp_path, "", 1)).nodes()


def test_which_cluster_it_is_is_told_by_the_context_and_the_host_of_its_api_server(tmp_path):
    view = {"contexts": [{"name": "live"}], "clusters": [{"name": "c", "cluster": {"server": "https://api.example.org:6443"}}]}
    assert Cluster("", "", os.environ, kubectl(tmp_path, json.dumps(view))).place() == ("live", "api.example.org")
    inside = {**os.environ, "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert Cluster("", "", inside, kubectl(tmp_path, "", 1)).place() == ("in-cluster", "10.0.0.1")
    outside = {name: value for name, value in os.environ.items() if name != "KUBERNETES_SERVICE_HOST"}
    for answer, code in (("", 1), ("{}", 0), ('{"contexts": null}', 0)):
        with pytest.raises(errors.SettingsError, match="which cluster"):
            Cluster("", "", outside, kubectl(tmp_path, answer, code)).place()


def test_a_drill_is_in_the_cluster_that_was_chosen_unless_a_file_of_guardrails_says_where(tmp_path):
    view = {"contexts": [{"name": "live"}], "clusters": [{"name": "c", "cluster": {"server": "https://api.example.org:6443"}}]}
    cluster = Cluster("", "", os.environ, kubectl(tmp_path, json.dumps(view)))
    platform = KubernetesPlatform(CLOCK, tmp_path, os.environ, frozenset(), {"": cluster}, "servers", direct=True)
    fault = drill.Inflict("pod-killed", {}, text="a pod is killed")
    scenario = drill.Scenario("of a test", "a pod is killed", (), (fault,))
    rules = tmp_path / "guardrails.yaml"

    def required(text):
        rules.write_text(text)
        guarding.require_clusters(Settings(guardrails=rules if text else None), CLOCK, scenario, platform)

    required("")
    required("contexts: [live]")
    for text in ("contexts: [staging-*]", "production: [live]", "hosts: [db.example.org]"):
        with pytest.raises(errors.PlanError, match="live"):
            required(text)


# -- manifests --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "named"),
    [
        ("servers", {"newName": "servers", "newTag": "latest"}),
        ("registry.example:5000/a/servers:v1", {"newName": "registry.example:5000/a/servers", "newTag": "v1"}),
        ("registry.example:5000/servers", {"newName": "registry.example:5000/servers", "newTag": "latest"}),
        ("servers@sha256:abc", {"newName": "servers", "digest": "sha256:abc"}),
    ],
)
def test_the_image_is_named_in_one_place(tmp_path, image, named):
    made = yaml.safe_load((manifests.overlay(tmp_path, "drplatform-1", image) / "kustomization.yaml").read_text())
    assert made["images"] == [{"name": manifests.IMAGE, **named}] and made["namespace"] == "drplatform-1"
    assert (tmp_path / "deploy" / made["resources"][0]).resolve() == manifests.DEPLOY.resolve()


def test_without_the_repository_it_says_what_is_needed(tmp_path):
    with pytest.raises(errors.SettingsError, match="copy of the drplatform repository"):
        manifests.overlay(tmp_path, "drplatform-1", "servers", tmp_path / "none")


def base():
    names = yaml.safe_load((manifests.DEPLOY / "kustomization.yaml").read_text())["resources"]
    return [d for name in names for d in yaml.safe_load_all((manifests.DEPLOY / name).read_text())]


def test_each_machine_has_its_own_names_and_nodes():
    service, stateful = manifests.of_machine(base(), "redis-primary-1", ["a", "b"])
    assert service["spec"]["selector"] == stateful["spec"]["selector"]["matchLabels"] == {manifests.SERVER: "redis-primary-1"}
    pod = stateful["spec"]["template"]
    assert (
        pod["metadata"]["labels"][manifests.SERVER] == stateful["metadata"]["name"] == stateful["spec"]["serviceName"] == "redis-primary-1"
    )
    assert re.findall(r"'values': \['(\w+)'\]", str(pod["spec"]["affinity"])) == ["a", "b"]
    assert "affinity" not in manifests.of_machine(base(), "gateway", [])[1]["spec"]["template"]["spec"]
    assert "redis-primary-1" not in str(base()), "what is rendered is not changed"


def test_a_platform_elsewhere_than_in_tmp_has_a_disk_there():
    documents = base()
    manifests.mounted_at(documents, Path("/tmp/drplatform-0"))
    assert documents == base()
    manifests.mounted_at(documents, Path("/srv/drills"))
    (stateful,) = (d for d in documents if d["kind"] == "StatefulSet")
    assert {"name": "platform", "mountPath": "/srv/drills"} in stateful["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]


def test_what_only_processes_of_this_machine_can_do_is_not_offered(tmp_path):
    from drplatform.engine import capabilities

    cluster = {"": Cluster("", "", os.environ)}
    found = KubernetesPlatform(CLOCK, tmp_path, os.environ, frozenset({links.LINKS}), cluster, "servers", direct=True)
    server = remote.RemoteServer(PLACE, tmp_path, None, None, None, found._waits)
    assert links.LINKS not in found._wanted, "no proxy is put before a server: its pod carries its connections"
    missing = (powers.OnDisk, powers.Skewable)
    assert not [power.__name__ for power in missing if isinstance(server, power)]
    assert isinstance(found, powers.NameServed) and found.name_server is None, "made without public names"
    assert not isinstance(found, powers.Pressurable) and not isinstance(found, powers.Severable)
    for power in ("killable", "erasable", "pausable", "limited", "traceable", "hinderable"):
        assert isinstance(server, capabilities.OF_SERVERS[power])
    for power in ("provision", "regions", "services", "pods"):
        assert isinstance(found, capabilities.OF_PLATFORMS[power])


PLACE = layout.Place("redis-primary-1", "redis", "primary", "127.0.0.1", {layout.PUBLIC: 1, layout.PRIVATE: 2})


# -- what runs in pods: a real one, on loopback -------------------------------------------------------------------------------------


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture
def processes():
    """Starts processes that end with the test, and so does what they have started."""
    made = []

    def start(*command, **environment):
        made.append(subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, start_new_session=True))
        return made[-1]

    yield start
    for one in made:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.pid, signal.SIGKILL)
        one.wait()


@pytest.fixture
def pods(processes, tmp_path):
    """Starts what runs in a pod; where it is entered. What it has launched ends with the test, as it does with a pod."""
    entries = []

    def start(name):
        at = Address("127.0.0.1", free_port())
        (tmp_path / name).mkdir()
        environment = {
            "DRPLATFORM_TOKEN": TOKEN,
            "DRPLATFORM_ENTRY": str(at.port),
            "DRPLATFORM_LISTEN": "127.0.0.1",
            "DRPLATFORM_POD": f"uid-{name}",
        }
        processes(sys.executable, machine.__file__, TMPDIR=str(tmp_path / name), **environment)
        clocks.wait_for(CLOCK, name, lambda: say(at, at, do="alive", key="x") is False, within=30, every=0.05, ignoring=(remote.Away,))
        entries.append(at)
        return at

    yield start
    for at in entries:
        with contextlib.suppress(errors.StoreError):
            say(at, at, do="signal", key="main", number=int(signal.SIGKILL))


def say(gateway, at, token=TOKEN, **order):
    return remote.ask(gateway, token, str(at), order)


ECHO = """
import socketserver, sys

class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data.upper())

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

with Server(("127.0.0.1", int(sys.argv[1])), Echo) as server:
    print("listening", flush=True)
    server.serve_forever()
"""


def launched(gateway, at, directory, port, key="main"):
    order = {"directory": str(directory), "directories": [str(directory / "disk-1")], "files": {"echo.py": ECHO}, "environment": {}}
    number = say(gateway, at, do="launch", key=key, command=[machine.PYTHON, str(directory / "echo.py"), str(port)], **order)
    heard = f"127.0.0.1:{port}"
    clocks.wait_for(CLOCK, heard, lambda: say(gateway, at, do="listens", key=key, address=heard), within=30, every=0.05)
    return number


def test_a_process_is_started_watched_and_killed_through_the_gateway(pods, tmp_path):
    gateway, at, port = pods("gateway"), pods("server"), free_port()
    directory = tmp_path / "disk" / "redis-1"
    first = launched(gateway, at, directory, port)
    assert say(gateway, at, do="alive", key="main") and not say(gateway, at, do="alive", key="door")
    assert "listening" in say(gateway, at, do="log", key="main")
    assert (directory / "echo.py").stat().st_mode & 0o077 == 0, "files may hold keys"
    assert say(gateway, at, do="bytes", key="main", directory=str(directory)) == len(ECHO)
    assert launched(gateway, at, directory, port) != first, "started anew, the old one is gone"
    assert say(gateway, at, do="signal", key="main", number=int(signal.SIGKILL))
    clocks.wait_for(CLOCK, "its end", lambda: not say(gateway, at, do="alive", key="main"), within=30, every=0.05)
    assert not say(gateway, at, do="listens", key="main", address=f"127.0.0.1:{port}")
    assert not say(gateway, at, do="signal", key="main", number=int(signal.SIGKILL))


def test_a_process_hangs_wakes_and_is_limited_as_the_kernel_of_its_pod_shows(pods, tmp_path):
    gateway, at, port = pods("gateway"), pods("server"), free_port()
    launched(gateway, at, tmp_path / "disk" / "redis-1", port)
    found = remote.RemoteProcess(
        "redis", tmp_path / "redis-1", tmp_path, lambda name, order: remote.ask(gateway, TOKEN, str(at), order), None, "main"
    )
    before = found.trace()
    assert before["process"] == "running" and int(before["files"]) > 0 and before[powers.FILE_DESCRIPTORS].isdigit()
    for number, word in ((signal.SIGSTOP, "paused"), (signal.SIGCONT, "running")):
        found.signal(number)
        clocks.wait_for(CLOCK, word, lambda w=word: found.trace()["process"] == w, within=30, every=0.05)
    for value in (1000, 1):
        assert found.limit(RESOURCES[powers.FILE_SIZE], value) and found.trace()[powers.FILE_SIZE] == str(value)
    assert found.limit(RESOURCES[powers.FILE_SIZE], None)
    assert found.trace()[powers.FILE_SIZE] == before[powers.FILE_SIZE] and found.trace()["started"] == before["started"]
    found.signal(signal.SIGKILL)
    clocks.wait_for(CLOCK, "its end", lambda: found.trace() == ABSENT, within=30, every=0.05)
    assert not found.limit(RESOURCES[powers.FILE_SIZE], 1)


def test_a_file_that_cannot_grow_is_an_error_of_the_write_and_not_the_end_of_the_server(pods, tmp_path):
    gateway, at = pods("gateway"), pods("server")
    order = {"directory": str(tmp_path / "disk"), "directories": [], "files": {}, "environment": {}}
    number = say(gateway, at, do="launch", key="main", command=["sleep", "60"], **order)
    shown = dict(line.split(":", 1) for line in Path(f"/proc/{number}/status").read_text().splitlines())
    assert int(shown["SigIgn"], 16) & (1 << (signal.SIGXFSZ - 1))


@pytest.fixture
def carried(pods, tmp_path):
    """A server that echoes, in a pod: `connect(origin)` is a connection to it through a gateway, `order` tells its machine something."""
    gateway, at, port = pods("gateway"), pods("server"), free_port()
    launched(gateway, at, tmp_path / "disk" / "redis-1", port)
    made = []

    def connect(origin):
        made.append(socket.create_connection((gateway.host, gateway.port), timeout=20))
        for hop in (at, f"127.0.0.1:{port}"):
            made[-1].sendall(json.dumps({"token": TOKEN, "to": str(hop), "from": origin}).encode() + b"\n")
        return made[-1]

    def order(do, **more):
        return say(gateway, at, do=do, key="main", **{"sources": [], "seconds": 0.0, "share": 0.0, "rate": 0.0, "one_way": False, **more})

    yield connect, order
    for one in made:
        one.close()


def echoes(connection, patience=20.0):
    """What comes back: a word, nothing for the while, or None when the connection has ended."""
    connection.settimeout(patience)
    try:
        connection.sendall(b"word")
        return connection.recv(4) or None
    except TimeoutError:
        return b""
    except OSError:
        return None


def test_the_network_to_a_server_is_cut_for_some_for_connections_that_are_there_and_for_new_ones(carried):
    connect, order = carried
    there, other = connect("clients"), connect("secondary")
    assert echoes(there) == echoes(other) == b"WORD" and order("hindered") == ""
    order("hinder", how="cut", sources=["clients"])
    assert order("hindered") == "cut" and echoes(other) == b"WORD"
    fresh = connect("clients")
    assert echoes(there, 0.3) == echoes(fresh, 0.3) == b"", "nothing comes back, and nobody is told"
    order("unhinder")
    assert order("hindered") == "" and echoes(connect("clients")) == b"WORD"
    for stuck in (there, fresh):
        assert echoes(stuck) is None, "what was stuck is ended"
    assert echoes(other) == b"WORD"


def test_connections_to_a_server_are_reset_or_slow_or_lost_one_way(carried):
    connect, order = carried
    there = connect("clients")
    assert echoes(there) == b"WORD"
    order("hinder", how="slow", seconds=0.01)
    assert echoes(there) == b"WORD"
    order("hinder", how="lossy", share=0.1)
    assert order("hindered") == "lossy" and echoes(there) == b"WORD"
    order("hinder", how="narrow", rate=10_000.0)
    assert order("hindered") == "narrow" and echoes(there) == b"WORD"
    order("hinder", how="cut", one_way=True)
    assert echoes(there, 0.3) == b""
    order("hinder", how="reset")
    assert echoes(there) is None and echoes(connect("clients")) is None
    order("unhinder")
    assert echoes(connect("clients")) == b"WORD"


def test_a_lossy_way_waits_as_tcp_does_and_a_narrow_one_carries_so_many_bytes_a_second_each_way(monkeypatch):
    async def run():
        lossy, narrow = carrying.Hindrance(), carrying.Hindrance()
        lossy.set(carrying.LOSSY, frozenset(), False, share=0.5)
        narrow.set(carrying.NARROW, frozenset(), False, rate=1000.0)
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: 7.0)
        return {lossy.late(1, True) for _ in range(1000)}, [narrow.late(500, True), narrow.late(500, True), narrow.late(500, False)]

    lost, (first, second, back) = asyncio.run(run())
    assert {0.0, 0.2} <= lost and lost <= {sum(0.2 * 2**n for n in range(times)) for times in range(11)} | {s for s in lost if s > 200}
    assert (first, second, back) == (0.5, 1.0, 0.5)


def test_every_server_of_a_cluster_can_be_hindered_in_every_way_that_a_plan_may_ask_for():
    """`capabilities` offers them all where servers are Hinderable, so each must be taken."""
    wanted = inspect.signature(powers.Hinderable.hinder).parameters
    assert list(inspect.signature(remote.RemoteServer.hinder).parameters) == list(wanted)
    assert {carrying.CUT, carrying.RESET, carrying.SLOW, carrying.LOSSY, carrying.NARROW} == powers.HINDRANCES


def test_nobody_without_the_token_is_answered_and_a_pod_that_goes_is_away(pods):
    gateway, at = pods("gateway"), pods("server")
    with pytest.raises(remote.Away):
        say(gateway, at, token="another", do="alive", key="x")
    with pytest.raises(remote.Away, match="going"):
        say(gateway, at, do="alive", key="x", unless="uid-server")
    with pytest.raises(errors.StoreError, match="could not invent"):
        say(gateway, at, do="invent", key="x")
    with pytest.raises(remote.Away):
        say(gateway, Address("127.0.0.1", free_port()), do="alive", key="x")


def test_a_server_is_dead_only_where_the_gateway_answers_and_nothing_is_known_of_it_where_that_does_not(pods, tmp_path, monkeypatch):
    """Else a way that is lost would confirm the death of a region."""
    monkeypatch.setattr(ways, "SECONDS_TO_RETURN", 0.3)
    gateway, at = pods("gateway"), pods("server")
    one = Site(Cluster("", "", os.environ))
    one.entries = {PLACE.name: str(at)}
    found = ways.Ways([one], {PLACE.name: PLACE}, True, Waits(CLOCK, threading.Event()), os.environ)
    found._token, found._reached = TOKEN, {"": gateway}
    server = remote.RemoteProcess("redis", tmp_path / PLACE.name, tmp_path, lambda name, order: found.ask(name, order, ""), None, "main")
    order = {"directory": str(tmp_path / "disk"), "directories": [], "files": {}, "environment": {}}
    say(gateway, at, do="launch", key="main", command=["sleep", "60"], **order)
    assert server.alive() and server.trace()["process"] == "running"
    one.entries[PLACE.name] = f"127.0.0.1:{free_port()}"
    assert not server.alive() and server.trace() == ABSENT and server.order("hindered") is None
    one.entries[PLACE.name], found._reached[""] = str(at), Address("127.0.0.1", free_port())
    looks = (server.alive, server.trace, lambda: server.listens(gateway), lambda: server.order("hindered"), lambda: server.bytes(tmp_path))
    for look in (*looks, server.kill):
        with pytest.raises(remote.Unreached, match="nothing is known"):
            look()


@pytest.fixture
def forwarder(processes, tmp_path):
    """Starts the runner's way into the cluster; returns when it knows its routes."""

    def start(**told):
        (tmp_path / "forward.json").write_text(
            json.dumps({"token": TOKEN, "number": 1, "back": [], "gateways": {}, "commands": {}, **told})
        )
        processes(sys.executable, "-m", FORWARD, str(tmp_path))
        seen = tmp_path / "forward.seen"
        clocks.wait_for(CLOCK, "the routes", lambda: seen.exists() and seen.read_text() == "1", within=30, every=0.05)

    return start


@pytest.mark.parametrize("way", ["in the cluster", "by port-forward"])
def test_the_runner_listens_where_servers_are_known_and_connections_end_when_they_are_not_there(pods, forwarder, way):
    gateway, at, port = pods("gateway"), pods("server"), free_port()
    relay = [sys.executable, "-c", f"import time; print('Forwarding from 127.0.0.1:{gateway.port} -> 9999', flush=True); time.sleep(600)"]
    ways = {"gateways": {"": str(gateway)}} if way == "in the cluster" else {"commands": {"": relay}}
    forwarder(routes=[["127.0.0.2", port, str(at), ""]], **ways)
    with socket.create_connection(("127.0.0.2", port), timeout=20) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b"", "the way ends in the pod, where nothing listens; it does not hang"


def test_a_way_into_the_cluster_that_hangs_is_ended_and_opened_again(pods, tmp_path, monkeypatch):
    """As a `kubectl port-forward` hangs: it listens, and what it takes goes nowhere."""
    gateway = pods("gateway")
    stuck = "import socket,time; s=socket.create_server(('127.0.0.1',0)); print('Forwarding from 127.0.0.1:%d -> 9999' % s.getsockname()[1], flush=True); time.sleep(600)"
    well = f"import time; print('Forwarding from 127.0.0.1:{gateway.port} -> 9999', flush=True); time.sleep(600)"
    once, pids = tmp_path / "once", tmp_path / "pids"
    code = (
        f"import os; open({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n'); new = not os.path.exists({str(once)!r}); "
        f"open({str(once)!r}, 'w'); exec({stuck!r} if new else {well!r})"
    )
    monkeypatch.setattr(forward, "SECONDS_TO_ANSWER", 3.0)
    monkeypatch.setattr(forward, "SECONDS_BETWEEN", 0.05)

    async def run():
        forwarding = forward.Forwarding([sys.executable, "-c", code], TOKEN, forward.port(tmp_path, ""))
        keeper = asyncio.ensure_future(forwarding.keep())
        async with asyncio.timeout(60):
            while not forward.port(tmp_path, "").exists():
                await asyncio.sleep(0.05)
        assert await forwarding.answers(), "and this one is left alone"
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)

    asyncio.run(run())
    started = [int(line) for line in pids.read_text().split()]
    assert not any(Path(f"/proc/{pid}").exists() for pid in started), "none is left"
    assert len(started) == 2


COUNTING = """
import socket, sys, threading

def pump(one, other):
    while data := one.recv(65536):
        other.sendall(data)
    other.shutdown(socket.SHUT_WR)

with socket.create_server(("127.0.0.1", 0)) as server:
    print(f"Forwarding from 127.0.0.1:{server.getsockname()[1]} -> 9999", flush=True)
    while True:
        there, _ = server.accept()
        open(sys.argv[2], "a").write("one more\\n")
        gateway = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        for ways in ((there, gateway), (gateway, there)):
            threading.Thread(target=pump, args=ways, daemon=True).start()
"""


def uppered(connection, data):
    """What the echo makes of it, sent and read at once."""
    sender = threading.Thread(target=connection.sendall, args=(data,))
    sender.start()
    found = bytearray()
    while len(found) < len(data) and (more := connection.recv(1 << 20)):
        found += more
    sender.join()
    return bytes(found)


@pytest.fixture
def counted(pods, forwarder, tmp_path):
    """A server that echoes, reached through a port-forward of the test's own, whose connections are counted."""
    gateway, at, port = pods("gateway"), pods("server"), free_port()
    launched(gateway, at, tmp_path / "disk" / "redis-1", port)
    command = [sys.executable, "-c", COUNTING, str(gateway.port), str(tmp_path / "counted")]
    forwarder(routes=[], commands={"": command})
    entrance = Address("127.0.0.1", int(forward.port(tmp_path, "").read_text()))

    def connect():
        made = socket.create_connection((entrance.host, entrance.port), timeout=60)
        for hop in (at, f"127.0.0.1:{port}"):
            made.sendall(json.dumps({"token": TOKEN, "to": str(hop), "from": "clients"}).encode() + b"\n")
        return made

    return connect, entrance, at


def test_one_connection_of_a_port_forward_carries_all_and_none_holds_up_another(counted, tmp_path):
    connect, *_ = counted
    connections = [connect() for _ in range(20)]
    unread = connections[0]
    unread.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while unread.send(b"x" * 65536):
            """Until nothing more is taken: nobody reads what comes back."""
    large = os.urandom(1_500_000)
    assert uppered(connections[1], large) == large.upper(), "more than a window of it, both ways"
    assert [uppered(one, b"word") for one in connections[2:]] == [b"WORD"] * 18
    for one in connections:
        one.close()
    with connect() as late:
        late.sendall(b"half")
        late.shutdown(socket.SHUT_WR)
        assert late.makefile("rb").read() == b"HALF", "one way ends before the other"
    assert (tmp_path / "counted").read_text().splitlines() == ["one more"]


def test_orders_of_any_length_go_the_same_way(counted, tmp_path):
    _, entrance, at = counted
    order = {"directory": str(tmp_path / "other"), "directories": [], "files": {"large": "x" * 1_000_000}, "environment": {}}
    assert say(entrance, at, do="launch", key="another", command=["true"], **order)
    assert (tmp_path / "other" / "large").stat().st_size == 1_000_000
    with pytest.raises(remote.Away):
        say(entrance, at, token="another", do="alive", key="x")


def test_pods_listen_where_servers_of_other_pods_are_known_and_stop_when_told(pods):
    gateway, at, port = pods("gateway"), pods("server"), free_port()
    for routes in ([["127.0.0.2", port, str(at), None]], [["127.0.0.3", port, str(at), None]], []):
        assert say(gateway, at, do="routes", key="", routes=routes, gateways={})
        heard = {host for host in ("127.0.0.2", "127.0.0.3") if say(gateway, at, do="listens", key="", address=f"{host}:{port}")}
        assert heard == {host for host, *_ in routes}


def test_who_waits_at_a_pod_gets_what_connects_there(pods):
    """As Redis fetches from the runner what is restored into it."""
    at, address = pods("server"), f"127.0.0.1:{free_port()}"
    host, _, port = address.rpartition(":")
    with socket.create_connection((at.host, at.port), timeout=20) as waiting:
        waiting.sendall(json.dumps({"token": TOKEN, "do": "accept", "address": address}).encode() + b"\n")
        inside = clocks.wait_for(
            CLOCK, address, lambda: socket.create_connection((host, int(port)), timeout=20), within=30, every=0.05, ignoring=(OSError,)
        )
        with inside, waiting.makefile("rwb") as outside:
            inside.sendall(b"PING\r\n")
            assert outside.readline() == b"{}\n" and outside.readline() == b"PING\r\n"
            outside.write(b"+PONG\r\n")
            outside.flush()
            assert inside.recv(100) == b"+PONG\r\n"


def test_a_way_that_ends_ends_for_the_client_too_without_a_reset(tmp_path):
    """A server that is killed while clients send: they read the end, and no connection of the gateway is reset."""

    async def run():
        async def dying(reader, writer):
            await reader.read(1)
            writer.transport.abort()

        async def carry(reader, writer):
            await carrying.joined((reader, writer), await carrying.dialled(f"127.0.0.1:{dead}"))

        server = await asyncio.start_server(dying, "127.0.0.1", 0)
        dead = server.sockets[0].getsockname()[1]
        gateway = await asyncio.start_server(carry, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*gateway.sockets[0].getsockname()[:2])
        writer.write(b"x" * 500_000)
        return await asyncio.wait_for(reader.read(), 20)

    assert asyncio.run(run()) == b""
