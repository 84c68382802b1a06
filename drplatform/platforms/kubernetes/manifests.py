"""What is applied for one platform: a namespace of its own, and a copy of deploy/platform's machine for each server. Pure, but for the overlay."""

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

import drplatform
from drplatform.model import errors
from drplatform.platforms.kubernetes import carrying, machine, trunk

DEPLOY = Path(drplatform.__file__).parents[1] / "deploy" / "platform"
IMAGE = "drplatform-servers"
"""As deploy/platform and `drplatform platform images build` call it."""
SHARED = "drplatform-platform"
"""The names of the Secret with the token and of the ConfigMap with what runs in pods."""
OWNER, SERVER, PLATFORM = "drplatform.io/owner", "drplatform.io/server", "drplatform.io/platform"
ENTRY = 9999
IN_PODS = tuple(Path(str(module.__file__)) for module in (machine, carrying, trunk))

Document = dict[str, Any]


def overlay(directory: Path, namespace: str, image: str, base: Path = DEPLOY) -> Path:
    """A kustomization in the directory that names the namespace and the image. Raises SettingsError without deploy/platform."""
    if not (base / "kustomization.yaml").is_file():
        raise errors.SettingsError(f"There is no {base}; drills on Kubernetes need a copy of the drplatform repository.")
    made = directory / "deploy"
    made.mkdir(exist_ok=True)
    name, digest, version = image.partition("@")
    if not digest:
        name, _, version = image.rpartition(":") if ":" in image.rpartition("/")[2] else (image, "", "latest")
    named = {"name": IMAGE, "newName": name, ("digest" if digest else "newTag"): version}
    content = {"resources": [os.path.relpath(base, made.resolve())], "namespace": namespace, "images": [named]}
    (made / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return made


def shared(rendered: Sequence[Document], namespace: str, owner: str, token: str) -> list[Document]:
    """What all machines of the platform need."""
    common = [_noted(d, owner) if d["kind"] == "Namespace" else d for d in rendered if d["metadata"]["name"] != "machine"]
    metadata = {"name": SHARED, "namespace": namespace}
    return [
        *common,
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"token": token}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {f.name: f.read_text() for f in IN_PODS}},
    ]


def of_machine(rendered: Sequence[Document], name: str, nodes: Sequence[str]) -> list[Document]:
    """The service and the stateful set of one machine, on one of the nodes (empty: on any)."""
    made = copy.deepcopy([d for d in rendered if d["metadata"]["name"] == "machine"])
    for document in made:
        document["metadata"]["name"] = name
        document["metadata"].setdefault("labels", {})[SERVER] = name
        spec = document["spec"]
        if document["kind"] == "Service":
            spec["selector"] = {SERVER: name}
        else:
            spec["serviceName"], spec["selector"] = name, {"matchLabels": {SERVER: name}}
            spec["template"]["metadata"]["labels"][SERVER] = name
            if nodes:
                spec["template"]["spec"]["affinity"] = _on(nodes)
    return made


def with_door(documents: Sequence[Document], name: str) -> list[Document]:
    """The machine of that name is reached from outside, too: at a port of every node. Who comes needs the token, as everywhere."""
    service = next(d for d in documents if d["kind"] == "Service" and d["metadata"]["name"] == name)
    service["spec"]["type"] = "NodePort"
    ports = [{"protocol": "TCP", "port": ENTRY}]
    spec = {"podSelector": {"matchLabels": {SERVER: name}}, "policyTypes": ["Ingress"], "ingress": [{"ports": ports}]}
    metadata = {"name": f"{SHARED}-{name}", "namespace": service["metadata"]["namespace"]}
    return [*documents, {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}]


def mounted_at(documents: Sequence[Document], base: Path) -> None:
    """Give machines a disk at the path of the platform's directories, where that is not below /tmp."""
    for document in documents:
        if document["kind"] == "StatefulSet" and not base.is_relative_to("/tmp"):
            pod = document["spec"]["template"]["spec"]
            pod["volumes"].append({"name": "platform", "emptyDir": {"sizeLimit": "8Gi"}})
            for container in pod["containers"]:
                container["volumeMounts"].append({"name": "platform", "mountPath": str(base)})


def _on(nodes: Sequence[str]) -> Mapping[str, Any]:
    """A term for each: matchFields takes one value."""
    terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]} for node in nodes]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def _noted(document: Document, owner: str) -> Document:
    metadata = document["metadata"]
    labels = {**metadata.get("labels", {}), PLATFORM: "true"}
    return {**document, "metadata": {**metadata, "labels": labels, "annotations": {**metadata.get("annotations", {}), OWNER: owner}}}
