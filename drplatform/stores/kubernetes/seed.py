"""Reference content: a namespace with objects of some 25 kinds, custom ones with their definition among them; the same for the same seed.

Nothing of it runs: workloads have no replicas, jobs are suspended.
"""

import base64
import random
from collections.abc import Callable, Iterator
from typing import Any

from drplatform.stores.kubernetes.resource import Document, Resource

NAMESPACE = "drplatform-reference"
OWNER = "drplatform.io/owner"
"""Annotation of a namespace that a drill has made: the machine and the directory of the platform that it is of."""
GROUP = "reference.drplatform.io"
_IMAGE = "registry.k8s.io/pause:3.10"
Maker = Callable[[random.Random, str], Document]


def resources(seed: int, items: int, namespace: str = NAMESPACE, owner: str = "") -> Iterator[Resource]:
    """The namespace, two definitions, and `items` objects, of every kind in turn. `owner`: whose namespace it is, noted on it."""
    generator = random.Random(seed)
    owned: Document = {"annotations": {OWNER: owner}} if owner else {}
    yield Resource({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": {"team": "reference"}, **owned}})
    for plural in ("widgets", "gadgets"):
        yield Resource(_definition(plural))
    for index in range(items):
        version, kind, make = _KINDS[index % len(_KINDS)]
        name = f"{kind.lower()}-{index:03d}"
        labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "reference", "index": str(index)}
        metadata = {"name": name, "namespace": namespace, "labels": labels, "annotations": {"note": f"1e{index}: grüß dich\n"}}
        yield Resource({"apiVersion": version, "kind": kind, "metadata": metadata, **make(generator, name)})


def _definition(plural: str) -> Document:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}
    subresources: Document = {"subresources": {"status": {}}} if plural == "widgets" else {}
    if not subresources:
        schema["properties"]["status"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}  # type: ignore[index]
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **subresources}
    names = {"plural": plural, "singular": plural[:-1], "kind": plural[:-1].title(), "listKind": plural[:-1].title() + "List"}
    spec = {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]}
    metadata = {"name": f"{plural}.{GROUP}"}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": metadata, "spec": spec}


def _pod_spec(generator: random.Random, name: str) -> Document:
    resources = {"requests": {"cpu": f"{generator.randrange(1, 9) * 50}m", "memory": f"{generator.randrange(1, 8) * 64}Mi"}}
    reference = {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "secret-001", "key": "password", "optional": True}}}
    env = [{"name": "LIMIT", "value": str(generator.randrange(1000))}, reference]
    return {"containers": [{"name": "main", "image": _IMAGE, "env": env, "resources": resources}], "terminationGracePeriodSeconds": 5}


def _template(generator: random.Random, name: str, **more: Any) -> Document:
    return {"metadata": {"labels": {"app": name}}, "spec": _pod_spec(generator, name) | more}


def _workload(generator: random.Random, name: str) -> Document:
    return {"spec": {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": _template(generator, name)}}


def _stateful_set(generator: random.Random, name: str) -> Document:
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    spec = _workload(generator, name)["spec"]
    return {"spec": spec | {"serviceName": "service-004", "volumeClaimTemplates": [claim]}}


def _daemon_set(generator: random.Random, name: str) -> Document:
    selector = {"nodeSelector": {"reference.drplatform.io/nowhere": "true"}}
    return {"spec": {"selector": {"matchLabels": {"app": name}}, "template": _template(generator, name, **selector)}}


def _controller(generator: random.Random, name: str) -> Document:
    return {"spec": {"replicas": 0, "selector": {"app": name}, "template": _template(generator, name)}}


def _cron_job(generator: random.Random, name: str) -> Document:
    job = {"spec": {"template": _template(generator, name, restartPolicy="Never")}}
    return {"spec": {"schedule": f"{generator.randrange(60)} 1 * * *", "suspend": True, "jobTemplate": job}}


def _job(generator: random.Random, name: str) -> Document:
    return {"spec": {"suspend": True, "template": {"spec": _pod_spec(generator, name) | {"restartPolicy": "Never"}}}}


def _pod(generator: random.Random, name: str) -> Document:
    return {"spec": _pod_spec(generator, name) | {"nodeSelector": {"reference.drplatform.io/nowhere": "true"}}}


def _config_map(generator: random.Random, name: str) -> Document:
    text = f"[limits]\nrate = {generator.randrange(1000)}\n"
    return {
        "data": {"settings.ini": text, "greeting": "Grüezi – 你好", "octal": "0o17", "float": "12e5", "no": "no"},
        "binaryData": {"b": "//79"},
    }


def _secret(generator: random.Random, name: str) -> Document:
    return {"type": "Opaque", "data": {"password": base64.b64encode(generator.randbytes(24)).decode()}}


def _account(generator: random.Random, name: str) -> Document:
    return {"automountServiceAccountToken": False, "imagePullSecrets": [{"name": f"pull-{generator.randrange(9)}"}]}


def _role(generator: random.Random, name: str) -> Document:
    verbs = generator.sample(["get", "list", "watch", "create", "patch"], 3)
    return {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}]}


def _binding(generator: random.Random, name: str) -> Document:
    subject = {"kind": "ServiceAccount", "name": "serviceaccount-002", "namespace": NAMESPACE}
    return {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "role-003"}, "subjects": [subject]}


def _service(generator: random.Random, name: str) -> Document:
    ports = [{"name": "http", "port": 80, "targetPort": generator.randrange(3000, 9000)}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    headless = {"clusterIP": "None"} if generator.randrange(2) else {}
    return {"spec": {"selector": {"app": name}, "ports": ports, **headless}}


def _slice(generator: random.Random, name: str) -> Document:
    endpoint = {"addresses": [f"10.1.2.{generator.randrange(1, 250)}"], "conditions": {"ready": True}}
    return {"addressType": "IPv4", "endpoints": [endpoint], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}


def _scaler(generator: random.Random, name: str) -> Document:
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"absent-{name}"}
    return {"spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": generator.randrange(2, 9), "metrics": [metric]}}


def _budget(generator: random.Random, name: str) -> Document:
    return {"spec": {"minAvailable": generator.randrange(1, 4), "selector": {"matchLabels": {"app": name}}}}


def _ingress(generator: random.Random, name: str) -> Document:
    backend = {"service": {"name": "service-004", "port": {"number": 80}}}
    rule = {"host": f"{name}.example.org", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    return {"spec": {"ingressClassName": "absent", "rules": [rule]}}


def _network_policy(generator: random.Random, name: str) -> Document:
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}}
    return {"spec": {"podSelector": {"matchLabels": {"app": name}}, "policyTypes": ["Ingress"], "ingress": [{"from": [peer]}]}}


def _limits(generator: random.Random, name: str) -> Document:
    return {"spec": {"limits": [{"type": "PersistentVolumeClaim", "max": {"storage": f"{generator.randrange(10, 99)}Gi"}}]}}


def _quota(generator: random.Random, name: str) -> Document:
    return {"spec": {"hard": {"count/configmaps": str(generator.randrange(500, 900)), "requests.storage": "500Gi"}}}


def _claim(generator: random.Random, name: str) -> Document:
    size = {"requests": {"storage": f"{generator.randrange(1, 5)}Gi"}}
    return {"spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "absent", "resources": size}}


def _custom(generator: random.Random, name: str) -> Document:
    content = {"size": generator.randrange(2**53), "ratio": 0.5, "parts": [{"name": "a", "on": True}, {"name": "b"}], "unit": "1e3"}
    return {"spec": content}


def _with_status(generator: random.Random, name: str) -> Document:
    return _custom(generator, name) | {"status": {"kept": f"by {name}"}}


_KINDS: tuple[tuple[str, str, Maker], ...] = (
    ("v1", "ConfigMap", _config_map), ("v1", "Secret", _secret), ("v1", "ServiceAccount", _account),
    ("rbac.authorization.k8s.io/v1", "Role", _role), ("v1", "Service", _service), ("apps/v1", "Deployment", _workload),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", _binding), ("apps/v1", "StatefulSet", _stateful_set), ("apps/v1", "DaemonSet", _daemon_set),
    ("apps/v1", "ReplicaSet", _workload), ("v1", "ReplicationController", _controller), ("v1", "PodTemplate", lambda g, n: {"template": _template(g, n)}),
    ("batch/v1", "CronJob", _cron_job), ("batch/v1", "Job", _job), ("v1", "Pod", _pod), ("autoscaling/v2", "HorizontalPodAutoscaler", _scaler),
    ("policy/v1", "PodDisruptionBudget", _budget), ("networking.k8s.io/v1", "Ingress", _ingress),
    ("networking.k8s.io/v1", "NetworkPolicy", _network_policy), ("v1", "LimitRange", _limits), ("v1", "ResourceQuota", _quota),
    ("v1", "PersistentVolumeClaim", _claim), ("discovery.k8s.io/v1", "EndpointSlice", _slice), (f"{GROUP}/v1", "Widget", _custom),
    (f"{GROUP}/v1", "Gadget", _with_status),
)  # fmt: skip
