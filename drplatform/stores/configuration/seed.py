"""Reference content: the manifests of a small platform, its environment files, and secrets with random values; the same for the same seed."""

import base64
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from drplatform.stores.configuration import tree
from drplatform.stores.configuration.entry import DIRECTORY, FILE, LINK, Entry

NAMESPACE = "migratio-production"
_SERVICES = ("api", "worker", "gateway", "reporting", "auth", "mailer")
_STAGES = ("production", "staging", "development")
Document = dict[str, Any]


def seed(root: Path, number: int, items: int) -> None:
    """Some two thirds manifests, the rest environment files and secrets; a link and an empty directory besides."""
    made = list(_entries(random.Random(number), items))
    for entry in made:
        tree.write(root, entry)
    for entry in reversed([entry for entry in made if entry.kind == DIRECTORY]):
        tree.close_directory(root, entry)


def _entries(generator: random.Random, items: int) -> Iterator[Entry]:
    for path, mode in (("manifests", 0o755), ("environment", 0o755), ("secrets", 0o700), ("manifests/charts", 0o755)):
        yield Entry(path, DIRECTORY, mode)
    for index in range(items):
        if index % 6 == 4:
            yield _environment(generator, index)
        elif index % 6 == 5:
            yield _secret(generator, index)
        else:
            yield _manifest(generator, index)
    yield Entry("environment/current", LINK, target="004-production.env")


def _manifest(generator: random.Random, index: int) -> Entry:
    make = _KINDS[index % len(_KINDS)]
    name = f"{_SERVICES[index % len(_SERVICES)]}-{index:03d}"
    document = make(generator, name)
    path = f"manifests/{document['kind'].lower()}/{name}.yaml"
    return Entry(path, FILE, 0o644, content=yaml.safe_dump(document, sort_keys=False, allow_unicode=True).encode())


def _environment(generator: random.Random, index: int) -> Entry:
    stage = _STAGES[index // 6 % len(_STAGES)]
    if index % 4 == 2:
        values = {"replicas": generator.randrange(1, 9), "image": {"tag": f"1.{generator.randrange(90)}.0"}, "title": "Übersicht"}
        return Entry(
            f"environment/values/{index:03d}-{stage}.yaml", FILE, 0o644, content=yaml.safe_dump(values, allow_unicode=True).encode()
        )
    lines = [f"STAGE={stage}", "# limits", *(f"LIMIT_{n}={generator.randrange(10**6)}" for n in range(12)), 'GREETING="grüß dich"', ""]
    return Entry(f"environment/{index:03d}-{stage}.env", FILE, 0o640, content="\n".join(lines).encode())


def _secret(generator: random.Random, index: int) -> Entry:
    if index % 4 == 1:
        return Entry(f"secrets/{index:03d}.key", FILE, 0o400, content=generator.randbytes(48))
    value = base64.b64encode(generator.randbytes(24)).decode()
    document = _resource("v1", "Secret", f"credentials-{index:03d}") | {"type": "Opaque", "data": {"password": value}}
    return Entry(f"secrets/{index:03d}.yaml", FILE, 0o600, content=yaml.safe_dump(document).encode())


def _resource(version: str, kind: str, name: str, namespaced: bool = True) -> Document:
    metadata: Document = {"name": name, "labels": {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "migratio"}}
    return {"apiVersion": version, "kind": kind, "metadata": metadata | ({"namespace": NAMESPACE} if namespaced else {})}


def _pod(generator: random.Random, name: str) -> Document:
    resources = {"requests": {"cpu": f"{generator.randrange(1, 20) * 50}m", "memory": f"{generator.randrange(1, 8) * 128}Mi"}}
    reference = {"secretKeyRef": {"name": "mongodb-credentials", "key": "MONGODB_URI"}}
    container: Document = {"name": name, "image": f"migratio/{name}:1.{generator.randrange(90)}.0", "resources": resources}
    return {"containers": [container | {"env": [{"name": "MONGODB_URI", "valueFrom": reference}]}], "serviceAccountName": name}


def _deployment(generator: random.Random, name: str) -> Document:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": _pod(generator, name)}
    spec = {"replicas": generator.randrange(1, 6), "selector": {"matchLabels": dict(labels)}, "template": template}
    return _resource("apps/v1", "Deployment", name) | {"spec": spec}


def _service(generator: random.Random, name: str) -> Document:
    port = {"name": "http", "port": 80, "targetPort": generator.randrange(3000, 9000)}
    return _resource("v1", "Service", name) | {"spec": {"selector": {"app": name}, "ports": [port]}}


def _config_map(generator: random.Random, name: str) -> Document:
    data = {"settings.ini": f"[limits]\nrate = {generator.randrange(1000)}\n", "greeting": "Grüezi – 你好\n"}
    return _resource("v1", "ConfigMap", name) | {"data": data}


def _ingress(generator: random.Random, name: str) -> Document:
    backend = {"service": {"name": name, "port": {"number": 80}}}
    rule = {"host": f"{name}.example.org", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    return _resource("networking.k8s.io/v1", "Ingress", name) | {"spec": {"rules": [rule]}}


def _cron_job(generator: random.Random, name: str) -> Document:
    pod = _pod(generator, name) | {"restartPolicy": "OnFailure"}
    job = {"spec": {"template": {"spec": pod}}}
    return _resource("batch/v1", "CronJob", name) | {"spec": {"schedule": f"{generator.randrange(60)} 1 * * *", "jobTemplate": job}}


def _definition(generator: random.Random, name: str) -> Document:
    plural = name.replace("-", "") + "s"
    schema = {
        "openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}
    }
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    names = {"plural": plural, "singular": plural[:-1], "kind": plural.title(), "shortNames": [f"m{generator.randrange(100)}"]}
    document = _resource("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"{plural}.migratio.example.org", namespaced=False)
    return document | {"spec": {"group": "migratio.example.org", "scope": "Namespaced", "names": names, "versions": [version]}}


def _role(generator: random.Random, name: str) -> Document:
    verbs = generator.sample(["get", "list", "watch", "create", "patch"], 3)
    return _resource("rbac.authorization.k8s.io/v1", "Role", name) | {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}]}


_KINDS: tuple[Callable[[random.Random, str], Document], ...] = (
    _deployment, _service, _config_map, _ingress, _cron_job, _definition, _role,
)  # fmt: skip
