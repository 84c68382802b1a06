"""What of an object is configuration, and what the cluster adds by itself and would not take back. Pure.

Sources: the API conventions of Kubernetes (metadata, spec and status), and what each controller documents to own. The same cleaning is done
to what is backed up and to what is found in a cluster, so that the two can be compared.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from drplatform.stores.kubernetes.resource import Document, Resource

METADATA = (
    "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink",
    "managedFields", "ownerReferences", "generateName",
)  # fmt: skip
"""References to owners name them by an id that a restored owner does not have: its restorer's garbage collector would delete the object."""

RESTORED = "drplatform.io/restored"
"""Our own mark on what a restore has made, where server-side apply would leave no other."""
ANNOTATIONS = frozenset(
    {
        RESTORED,
        "autoscaling.alpha.kubernetes.io/conditions",
        "autoscaling.alpha.kubernetes.io/current-metrics",
        "control-plane.alpha.kubernetes.io/leader",
        "deployment.kubernetes.io/revision",
        "deprecated.daemonset.template.generation",
        "endpoints.kubernetes.io/last-change-trigger-time",
        "kubernetes.io/service-account.uid",
        "pv.kubernetes.io/bind-completed",
        "pv.kubernetes.io/bound-by-controller",
        "volume.beta.kubernetes.io/storage-provisioner",
        "volume.kubernetes.io/selected-node",
        "volume.kubernetes.io/storage-provisioner",
    }
)
CHOSEN_VOLUME = frozenset(
    {"pv.kubernetes.io/bound-by-controller", "volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner"}
)
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
JOB_LABELS = ("controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name")
DEFAULT_TOLERATIONS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
PLACE_LABELS = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone")
"""Of a pod: from Kubernetes 1.35 on they are its node's, and what somebody wrote there is overwritten (admission plug-in PodTopologyLabels)."""
TOKEN_VOLUME = "kube-api-access-"
_OWN_DOMAINS = ("kubernetes.io", "k8s.io")


def clean(document: Mapping[str, Any], status_is_managed: bool = True) -> Resource:
    """The configuration of an object. `status_is_managed`: the status is the server's (false for custom kinds without that subresource)."""
    found: Document = copy.deepcopy(dict(document))
    if status_is_managed:
        found.pop("status", None)
    found.setdefault("metadata", {})
    special = _SPECIAL.get((Resource(found).group, Resource(found).kind))
    if special:
        special(found)
    _clean_metadata(found["metadata"])
    return Resource(_pruned(found))


def _clean_metadata(metadata: Document) -> None:
    for name in METADATA:
        metadata.pop(name, None)
    annotations = metadata.get("annotations") or {}
    metadata["annotations"] = {name: value for name, value in annotations.items() if name not in ANNOTATIONS}
    metadata["finalizers"] = [name for name in metadata.get("finalizers") or [] if not _is_own(name)]


def _is_own(finalizer: str) -> bool:
    """Whether Kubernetes itself puts it there."""
    domain = finalizer.partition("/")[0]
    return "." not in domain or any(domain == own or domain.endswith("." + own) for own in _OWN_DOMAINS)


def _pruned(found: Document) -> Document:
    """Without metadata that is empty: `labels: {}` says nothing."""
    found["metadata"] = {name: value for name, value in found["metadata"].items() if value not in ({}, [], None, "")}
    return found


# -- single kinds -------------------------------------------------------------------------------------------------------------


def _namespace(found: Document) -> None:
    (found.get("metadata", {}).get("labels") or {}).pop("kubernetes.io/metadata.name", None)
    found.pop("spec", None)


def _service(found: Document) -> None:
    """Addresses belong to a cluster; a headless service and fixed node ports are configuration."""
    spec = found.get("spec", {})
    if spec.get("clusterIP") != "None":
        for name in ("clusterIP", "clusterIPs"):
            spec.pop(name, None)
    spec.pop("healthCheckNodePort", None)
    if spec.get("ipFamilyPolicy") == "SingleStack":
        spec.pop("ipFamilies", None)


def _service_account(found: Document) -> None:
    own = f"{found['metadata'].get('name')}-token-"
    kept = [one for one in found.get("secrets") or [] if not str(one.get("name", "")).startswith(own)]
    found.pop("secrets", None)
    if kept:
        found["secrets"] = kept


def _secret(found: Document) -> None:
    """A service account's token is signed by one cluster, for one account: another one fills it in anew."""
    if found.get("type") == "kubernetes.io/service-account-token":
        found.pop("data", None)


def _cluster_role(found: Document) -> None:
    if found.get("aggregationRule"):
        found.pop("rules", None)


def _volume(found: Document) -> None:
    claim = found.get("spec", {}).get("claimRef") or {}
    for name in ("uid", "resourceVersion"):
        claim.pop(name, None)


def _claim(found: Document) -> None:
    """A claim that a controller gave a volume is given a new one; a volume that a person named stays named."""
    annotations = found["metadata"].get("annotations") or {}
    if annotations.keys() & CHOSEN_VOLUME:
        found.get("spec", {}).pop("volumeName", None)


def _job(found: Document) -> None:
    spec = found.get("spec", {})
    if spec.get("manualSelector"):
        return
    spec.pop("selector", None)
    for metadata in (found["metadata"], spec.get("template", {}).get("metadata") or {}):
        labels = metadata.get("labels") or {}
        for name in JOB_LABELS:
            labels.pop(name, None)
        if not labels:
            metadata.pop("labels", None)


def _pod(found: Document) -> None:
    """Without what scheduling and admission add."""
    spec = found.get("spec", {})
    for name in PLACE_LABELS:
        (found["metadata"].get("labels") or {}).pop(name, None)
    for name in ("nodeName", "priority"):
        spec.pop(name, None)
    spec["tolerations"] = [t for t in spec.get("tolerations") or [] if not _is_default_toleration(t)]
    spec["volumes"] = [v for v in spec.get("volumes") or [] if not str(v.get("name", "")).startswith(TOKEN_VOLUME)]
    for container in [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]:
        container["volumeMounts"] = [m for m in container.get("volumeMounts") or [] if not str(m.get("name", "")).startswith(TOKEN_VOLUME)]
        _without_empty(container, "volumeMounts")
    _without_empty(spec, "tolerations", "volumes")


def _is_default_toleration(toleration: Mapping[str, Any]) -> bool:
    return toleration.get("key") in DEFAULT_TOLERATIONS and toleration.get("tolerationSeconds") == 300


def _without_empty(found: Document, *names: str) -> None:
    for name in names:
        if not found.get(name):
            found.pop(name, None)


_SPECIAL: Mapping[tuple[str, str], Callable[[Document], None]] = {
    ("", "Namespace"): _namespace,
    ("", "Service"): _service,
    ("", "ServiceAccount"): _service_account,
    ("", "Secret"): _secret,
    ("", "PersistentVolume"): _volume,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Pod"): _pod,
    ("batch", "Job"): _job,
    ("rbac.authorization.k8s.io", "ClusterRole"): _cluster_role,
}


def marked(resource: Resource) -> Resource:
    """The object as a restore applies it: recognisable as its work, also when it has nothing but a name, and so no field that one could own."""
    bare = not resource.document.keys() - {"apiVersion", "kind", "metadata"} and not resource.metadata.keys() - {"name", "namespace"}
    if not bare and (resource.group, resource.kind) != ("", "Namespace"):
        return resource
    annotations = {**(resource.metadata.get("annotations") or {}), RESTORED: "true"}
    return Resource({**resource.document, "metadata": {**resource.metadata, "annotations": annotations}})
