"""Which objects are configuration that people made, and which of them were asked for. Pure.

Left out is what a cluster makes by itself: what a controller owns, what is about to go, what says what runs rather than what should run, and
the defaults that every cluster has.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.stores.kubernetes import related
from drplatform.stores.kubernetes.resource import Resource

SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})
RUNTIME = frozenset(
    {
        ("", "Event"), ("events.k8s.io", "Event"), ("", "Node"), ("", "ComponentStatus"), ("", "Binding"),
        ("coordination.k8s.io", "Lease"), ("coordination.k8s.io", "LeaseCandidate"), ("storage.k8s.io", "CSINode"),
        ("storage.k8s.io", "CSIStorageCapacity"), ("storage.k8s.io", "VolumeAttachment"), ("certificates.k8s.io", "CertificateSigningRequest"),
        ("certificates.k8s.io", "PodCertificateRequest"), ("metrics.k8s.io", "NodeMetrics"), ("metrics.k8s.io", "PodMetrics"),
        ("networking.k8s.io", "IPAddress"), ("resource.k8s.io", "ResourceSlice"), ("apps", "ControllerRevision"),
        ("internal.apiserver.k8s.io", "StorageVersion"), ("storagemigration.k8s.io", "StorageVersionMigration"),
    }
)  # fmt: skip
"""Kinds that say what runs, not what should run."""
NAMED_DEFAULTS = frozenset(
    {
        ("ConfigMap", "kube-root-ca.crt"), ("ConfigMap", "openshift-service-ca.crt"), ("ConfigMap", "istio-ca-root-cert"), ("ServiceAccount", "default"), ("ServiceCIDR", "kubernetes"),
        ("PriorityClass", "system-cluster-critical"), ("PriorityClass", "system-node-critical"),
    }
)  # fmt: skip


@dataclass(frozen=True)
class Selection:
    """What is backed up. Without namespaces: the whole cluster but its own. `kinds` are names such as `Deployment` or `Certificate.cert-manager.io`.

    With namespaces: what is in them, the namespaces themselves, and what these need of the cluster as a whole (see `related`).
    """

    namespaces: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    labels: str = ""

    @classmethod
    def read(cls, options: Mapping[str, str]) -> "Selection":
        """From the options `namespaces`, `kinds` (comma separated) and `labels` (a label selector)."""
        return cls(_names(options.get("namespaces", "")), _names(options.get("kinds", "")), options.get("labels", ""))

    def wants_kind(self, group: str, kind: str) -> bool:
        if (group, kind) in RUNTIME:
            return False
        return not self.kinds or kind in self.kinds or f"{kind}.{group}" in self.kinds

    def wants(self, resource: Resource) -> bool:
        """Whether it was asked for, and is nobody else's."""
        return self._wants_place(resource) and not made_by_cluster(resource.document)

    def _wants_place(self, resource: Resource) -> bool:
        namespace = resource.key.namespace or (resource.key.name if resource.kind == "Namespace" and not resource.group else "")
        if namespace:
            return namespace in self.namespaces if self.namespaces else namespace not in SYSTEM_NAMESPACES
        return not self.namespaces or (resource.group, resource.kind) in related.KINDS


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())


def made_by_cluster(document: Mapping[str, Any]) -> bool:
    """Whether a cluster makes it by itself, so that it is no configuration. Asks the object as the API gives it, with its status."""
    resource = Resource(document)
    metadata = resource.metadata
    return (
        "deletionTimestamp" in metadata
        or any(owner.get("controller") for owner in metadata.get("ownerReferences") or [])
        or _is_default(resource)
        or _is_marked(resource)
        or _is_finished(resource)
    )


def _is_default(resource: Resource) -> bool:
    key = resource.key
    if key.namespace == "default" and key.name == "kubernetes" and key.kind in ("Service", "Endpoints", "EndpointSlice"):
        return True
    if resource.kind == "Namespace" and not resource.group:
        return key.name in SYSTEM_NAMESPACES or (key.name == "default" and not _changed_namespace(resource))
    if resource.kind == "ServiceAccount" and key.name == "default":
        return not _changed_account(resource)
    return (key.kind, key.name) in NAMED_DEFAULTS


def _changed_namespace(resource: Resource) -> bool:
    labels = set(resource.metadata.get("labels") or {}) - {"kubernetes.io/metadata.name"}
    return bool(labels or resource.metadata.get("annotations"))


def _changed_account(resource: Resource) -> bool:
    """Whether somebody gave the default account anything."""
    said = resource.metadata.get("labels") or resource.metadata.get("annotations")
    return bool(said or resource.document.get("imagePullSecrets") or "automountServiceAccountToken" in resource.document)


def _is_marked(resource: Resource) -> bool:
    """Whether the cluster says on the object that it is its own."""
    labels, annotations = resource.metadata.get("labels") or {}, resource.metadata.get("annotations") or {}
    return (
        labels.get("kubernetes.io/bootstrapping") == "rbac-defaults"
        or labels.get("kube-aggregator.kubernetes.io/automanaged") in ("onstart", "true")
        or "endpoints.kubernetes.io/managed-by" in labels
        or str(labels.get("endpointslice.kubernetes.io/managed-by", "")).endswith(".k8s.io")
        or annotations.get("apf.kubernetes.io/autoupdate-spec") == "true"
        or "kubernetes.io/config.mirror" in annotations
        or "pv.kubernetes.io/provisioned-by" in annotations
        or (resource.group == "flowcontrol.apiserver.k8s.io" and resource.key.name in ("exempt", "catch-all"))
        or (resource.kind == "ClusterTrustBundle" and resource.key.name.startswith("kubernetes.io:"))
    )


def _is_finished(resource: Resource) -> bool:
    """A job or pod that has ended would run a second time if it were restored."""
    status = resource.document.get("status") or {}
    if resource.kind == "Job" and resource.group == "batch":
        return any(c.get("type") in ("Complete", "Failed") and c.get("status") == "True" for c in status.get("conditions") or [])
    return resource.kind == "Pod" and not resource.group and status.get("phase") in ("Succeeded", "Failed")
