"""One cluster, by the `kubectl` command: what is applied, read, deleted there. Knows manifests, and nothing of what runs in pods."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from drplatform.model import errors
from drplatform.platforms.kubernetes.actions import Action, act

SECONDS = 120
IN_CLUSTER = "in-cluster"
REGION_LABELS = ("drplatform.io/region", "topology.kubernetes.io/region", "topology.kubernetes.io/zone")
_CONTROL = "node-role.kubernetes.io/control-plane"
_KEPT_AWAY = ("NoSchedule", "NoExecute")

Document = dict[str, Any]


@dataclass(frozen=True)
class Node:
    """`labels` as the cluster has them; `spare`: meant for the cluster's own pods, used when there are too few others."""

    name: str
    labels: Mapping[str, str]
    spare: bool
    address: str = ""
    """Its InternalIP."""


class Cluster:
    """A cluster by a kubeconfig (empty: kubectl's own choice) and a context of it. `environment` is that of the command."""

    def __init__(self, kubeconfig: str, context: str, environment: Mapping[str, str], program: str = "kubectl") -> None:
        chosen = [*(["--kubeconfig", kubeconfig] if kubeconfig else []), *(["--context", context] if context else [])]
        self._command, self._environment = [program, *chosen], dict(environment)
        self._called = f"The cluster of {context}" if context else "The cluster"

    def command(self, *words: str) -> list[str]:
        return [*self._command, *words]

    def run(self, *words: str, given: str = "", seconds: float = SECONDS) -> str:
        """Standard output of a kubectl command. Raises StoreError with what it said."""
        try:
            done = subprocess.run(
                self.command(*words), input=given, env=self._environment, capture_output=True, text=True, timeout=seconds, check=False
            )
        except FileNotFoundError as error:
            raise errors.SettingsError("The `kubectl` command is not on PATH; install it, drills on Kubernetes need it.") from error
        except subprocess.TimeoutExpired as error:
            raise errors.StoreError(f"kubectl {words[0]} did not end within {seconds:g} s; look at the cluster.") from error
        if done.returncode:
            raise errors.StoreError(f"kubectl {words[0]} failed: {' '.join(done.stderr.split())[-400:]}")
        return done.stdout

    def get(self, *words: str) -> Document:
        found: Document = json.loads(self.run("get", *words, "-o", "json"))
        return found

    def apply(self, documents: Sequence[Document]) -> None:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(documents)})
        self.run("apply", "--server-side", "--force-conflicts", "--field-manager=drplatform", "-f", "-", given=text)

    def delete(self, *words: str) -> None:
        """Nothing when it is not there. Does not wait for its end."""
        self.run("delete", *words, "--ignore-not-found", "--wait=false")

    def act(self, actions: Sequence[Action], directory: Path) -> None:
        """Do these of chaostoolkit-kubernetes there; see `actions.act`. Raises StoreError."""
        act(actions, self._chosen(), self._environment, directory)

    def _chosen(self) -> str:
        """A kubeconfig of the chosen context alone, with its keys; empty where kubectl uses the pod's own account."""
        if self.place()[0] == IN_CLUSTER:
            return ""
        return self.run("config", "view", "--minify", "--flatten", "--raw", "-o", "json")

    def remove_pod(self, namespace: str, name: str) -> None:
        """At once, also when its node does not answer."""
        self.delete("pod", name, "-n", namespace, "--grace-period=0", "--force")

    def evict(self, namespace: str, pod: str) -> None:
        """As `kubectl drain` does for each pod of a node. Nothing when there is none; raises StoreError when a budget forbids it.

        By ourselves: the action of chaostoolkit-kubernetes drains nodes as a whole, whoever's pods are on them.
        """
        order = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
        try:
            self.run("create", "--raw", f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction", "-f", "-", given=json.dumps(order))
        except errors.StoreError as error:
            if "not found" not in str(error).lower():
                raise

    def note_on_node(self, name: str, annotations: Mapping[str, str]) -> None:
        self._patch_node(name, {"metadata": {"annotations": annotations}})

    def open_node(self, name: str, annotation: str) -> None:
        """It takes pods again, and the annotation goes, both at once."""
        self._patch_node(name, {"metadata": {"annotations": {annotation: None}}, "spec": {"unschedulable": None}})

    def _patch_node(self, name: str, change: Document) -> None:
        self.run("patch", "node", name, "--type=merge", "-p", json.dumps(change))

    def rendered(self, directory: Path) -> list[Document]:
        """The objects of a kustomization."""
        return [found for found in yaml.safe_load_all(self.run("kustomize", str(directory))) if found]

    def place(self) -> tuple[str, str]:
        """The name of the context, and the host of the API server; `in-cluster` where kubectl uses the pod's own account. Raises SettingsError."""
        try:
            found = json.loads(self.run("config", "view", "--minify", "-o", "json"))
            return str(found["contexts"][0]["name"]), urlsplit(found["clusters"][0]["cluster"]["server"]).hostname or ""
        except (errors.StoreError, ValueError, LookupError, TypeError) as error:
            if host := self._environment.get("KUBERNETES_SERVICE_HOST"):
                return IN_CLUSTER, host
            raise errors.SettingsError("kubectl does not tell which cluster it would use; name a kubeconfig and a context.") from error

    def uid(self) -> str:
        """Of the namespace that every cluster has, and no two share."""
        return str(self.get("namespace", "kube-system")["metadata"]["uid"])

    def nodes(self) -> list[Node]:
        """Those that take pods. Raises SettingsError when there is none."""
        try:
            listed = self.get("nodes")["items"]
        except errors.StoreError as error:
            raise errors.SettingsError(f"{self._called} does not answer ({error}); check the kubeconfig and its context.") from error
        found = [_node(one) for one in listed if _is_ready(one) and not _is_closed(one)]
        if not found:
            seen = f"{len(listed)} nodes, none of them ready and open for pods" if listed else "no node"
            raise errors.SettingsError(f"{self._called} has {seen}, so nothing could run there; name another with --context.")
        return found


def regions(nodes: Sequence[Node], wanted: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Region -> names of its nodes. By the first of REGION_LABELS that tells at least two places apart; without labels the nodes are divided.

    On a single node the regions share it: servers die apart, the node does not. A region alone in its cluster has all of its nodes.
    """
    workers = [n for n in nodes if not n.spare]
    usable = workers if len(workers) >= len(wanted) else list(nodes)
    if len(wanted) == 1:
        return {wanted[0]: tuple(sorted(node.name for node in usable))}
    for label in REGION_LABELS:
        places: dict[str, list[str]] = {}
        for node in usable:
            if place := node.labels.get(label):
                places.setdefault(place, []).append(node.name)
        if set(wanted) <= places.keys():
            return {region: tuple(places[region]) for region in wanted}
        if len(places) >= len(wanted):
            return {region: tuple(places[place]) for region, place in zip(wanted, sorted(places), strict=False)}
    names = sorted(node.name for node in usable)
    return {region: tuple(names[at :: len(wanted)]) or tuple(names) for at, region in enumerate(wanted)}


def _node(document: Document) -> Node:
    metadata = document["metadata"]
    spare = any(t["key"] == _CONTROL for t in _taints(document))
    addresses = document.get("status", {}).get("addresses") or []
    internal = next((str(a["address"]) for a in addresses if a["type"] == "InternalIP"), "")
    return Node(metadata["name"], metadata.get("labels") or {}, spare, internal)


def _is_ready(document: Document) -> bool:
    conditions = document.get("status", {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _is_closed(document: Document) -> bool:
    return bool(document["spec"].get("unschedulable")) or any(t["key"] != _CONTROL for t in _taints(document))


def _taints(document: Document) -> list[Document]:
    return [t for t in document["spec"].get("taints") or [] if t["effect"] in _KEPT_AWAY]
