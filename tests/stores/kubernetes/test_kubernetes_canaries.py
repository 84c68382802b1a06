"""Secrets of a cluster show nowhere: not in what any command says, not in what it writes, in no form; also when the server refuses them."""

import base64
import gzip

import pytest
import secret_scan
import yaml
from cluster_objects import remove_namespace

from drplatform import cli
from drplatform.stores.kubernetes import applying
from drplatform.stores.kubernetes.resource import Resource

CANARIES = {
    name: f"canary+{name}/{number:x}~é"
    for number, name in enumerate(("secret", "string", "packed", "setting", "binary", "env", "argument", "annotation", "applied"), 0xA71C)
}


@pytest.fixture
def run(tmp_path, monkeypatch, capfd, kubeconfig, namespace):
    """Runs a command line in a home of its own; what all of them said is in `run.said`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DRPLATFORM_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("DRPLATFORM_SCRATCH", str(tmp_path / "scratch"))
    options = {"kubeconfig": kubeconfig, "namespaces": namespace}
    config = {"stores": {"kubernetes": {"options": options}}, "repository": {"directory": "vault"}}
    (tmp_path / "drplatform.yaml").write_text(yaml.safe_dump(config))

    def command(*arguments, code=0):
        assert cli.run([*arguments, "--config", "drplatform.yaml"] if arguments[0] != "keys" else list(arguments)) == code
        out, err = capfd.readouterr()
        command.said += out + err
        return out

    command.said = ""
    return command


def secretive(namespace, suffix=""):
    """Objects with a canary in every place where people put secrets."""
    value = {name: canary + suffix for name, canary in CANARIES.items()}
    encoded = {name: base64.b64encode(text.encode()).decode() for name, text in value.items()}
    packed = base64.b64encode(base64.b64encode(gzip.compress(value["packed"].encode()))).decode()
    annotations = {"note": value["annotation"], "kubectl.kubernetes.io/last-applied-configuration": f'{{"data":"{encoded["applied"]}"}}'}
    container = {"name": "c", "image": "i", "args": [f"--token={value['argument']}"], "env": [{"name": "PASSWORD", "value": value["env"]}]}
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [container]}}
    documents = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {"apiVersion": "v1", "kind": "Secret", "data": {"password": encoded["secret"], "release": packed}, "stringData": {"uri": f"x://{value['string']}@h"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "data": {"app.ini": f"password={value['setting']}\n"}, "binaryData": {"key": encoded["binary"]}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "a"}}, "template": template}},
    ]  # fmt: skip
    for document in documents[1:]:
        document["metadata"] = {"name": "planted", "namespace": namespace, "annotations": annotations}
    return [Resource(document) for document in documents]


def test_no_command_shows_a_secret_of_the_cluster(run, cluster, clock, namespace, tmp_path):
    assert applying.apply(cluster, secretive(namespace), clock).refused == {}
    run("keys", "generate")
    first = run("backups", "take", "kubernetes", "full").split()[0]
    assert applying.apply(cluster, secretive(namespace, "-changed"), clock).refused == {}
    second = run("backups", "take", "kubernetes", "full").split()[0]
    between = run("configuration", "diff", first, second, code=1)
    assert len([line for line in between.splitlines() if "(not shown) -> (not shown)" in line]) >= len(CANARIES), (
        "planted: each change is seen"
    )
    assert run("configuration", "diff", first, code=1) == between
    run("configuration", "diff", first, second, "--json", code=1)
    assert f"{namespace}/ConfigMap/planted.yaml" in run("configuration", "show", second)
    run("configuration", "check", second)
    for arguments in (("backups", "list"), ("backups", "show", first), ("backups", "verify", "--all")):
        run(*arguments)
    remove_namespace(cluster, clock, namespace)
    run("backups", "restore", "kubernetes", "--yes")
    assert run("configuration", "diff", second) == "No difference.\n"
    assert not secret_scan.found_in(run.said.encode(), CANARIES)
    assert secret_scan.found_below(tmp_path, CANARIES) == {}
    live = "\n".join(r.canonical().decode() for r in secretive(namespace)).encode()
    assert secret_scan.found_in(live + "".join(CANARIES.values()).encode(), CANARIES) == set(CANARIES), "planted: the scanner knows them"


def test_a_manifest_is_written_out_but_no_secret(run, cluster, clock, namespace, tmp_path):
    assert applying.apply(cluster, secretive(namespace), clock).refused == {}
    run("keys", "generate")
    backup = run("backups", "take", "kubernetes", "full").split()[0]
    run("configuration", "show", backup, "--to", "out")
    written = {p.name: yaml.safe_load(p.read_text()) for p in (tmp_path / "out" / namespace).rglob("*.yaml")}
    assert written and all(document["kind"] != "Secret" for document in written.values())
    found = set().union(*secret_scan.found_below(tmp_path / "out", CANARIES).values())
    assert not found & {"secret", "string", "packed"}
