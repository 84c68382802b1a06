"""In which order objects are applied, so that each finds what it needs. Pure.

Quotas come late, because a new quota refuses everything until it was counted; admission webhooks and policies come last, because they would
refuse what is restored while the services behind them are not up.
"""

from collections.abc import Iterable
from itertools import groupby

from drplatform.stores.kubernetes.resource import Resource

DEFINITIONS, NAMESPACES, CUSTOM = "definitions", "namespaces", "custom objects"

ORDER: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (DEFINITIONS, (("apiextensions.k8s.io", "CustomResourceDefinition"),)),
    (NAMESPACES, (("", "Namespace"),)),
    ("classes", (("scheduling.k8s.io", "PriorityClass"), ("node.k8s.io", "RuntimeClass"), ("networking.k8s.io", "IngressClass"))),
    ("roles", (("rbac.authorization.k8s.io", "ClusterRole"), ("rbac.authorization.k8s.io", "Role"))),
    ("bindings", (("rbac.authorization.k8s.io", "ClusterRoleBinding"), ("rbac.authorization.k8s.io", "RoleBinding"))),
    ("service accounts", (("", "ServiceAccount"),)),
    ("secrets", (("", "Secret"),)),
    ("config maps", (("", "ConfigMap"),)),
    ("storage", (("storage.k8s.io", "StorageClass"), ("storage.k8s.io", "CSIDriver"), ("", "PersistentVolume"))),
    ("claims", (("", "PersistentVolumeClaim"),)),
    ("limits", (("", "LimitRange"), ("networking.k8s.io", "NetworkPolicy"), ("policy", "PodDisruptionBudget"))),
    ("services", (("", "Service"), ("", "Endpoints"), ("discovery.k8s.io", "EndpointSlice"))),
    (
        "workloads",
        (
            ("apps", "Deployment"), ("apps", "StatefulSet"), ("apps", "DaemonSet"), ("apps", "ReplicaSet"), ("", "ReplicationController"),
            ("", "PodTemplate"), ("", "Pod"), ("batch", "Job"), ("batch", "CronJob"),
        ),
    ),
    ("the rest", ()),
    (CUSTOM, ()),
    ("quotas", (("", "ResourceQuota"),)),
    ("aggregated APIs", (("apiregistration.k8s.io", "APIService"),)),
    (
        "admission",
        tuple(
            ("admissionregistration.k8s.io", kind)
            for kind in (
                "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding",
                "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration",
            )
        ),
    ),
)  # fmt: skip

_NAMES = tuple(name for name, _ in ORDER)
_STAGES = {kind: number for number, (_, kinds) in enumerate(ORDER) for kind in kinds}
_REST, _CUSTOM = _NAMES.index("the rest"), _NAMES.index(CUSTOM)


def stage(group: str, kind: str) -> int:
    """Its place in ORDER. A kind that Kubernetes itself does not have is a custom one."""
    built_in = "." not in group or group.endswith(".k8s.io")
    return _STAGES.get((group, kind), _REST if built_in else _CUSTOM)


def in_order(resources: Iterable[Resource]) -> list[tuple[str, list[Resource]]]:
    """The objects by stage, with its name; within a stage by what names them, so that a run repeats."""
    ordered = sorted(resources, key=lambda r: (stage(r.group, r.kind), r.key))
    return [(_NAMES[number], list(found)) for number, found in groupby(ordered, key=lambda r: stage(r.group, r.kind))]
