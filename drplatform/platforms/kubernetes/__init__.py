"""Two regions and a vault as pods of a Kubernetes cluster, in a namespace of the run's own.

Built upon the embedded platform: the same servers with the same command lines, at the same loopback addresses, form the same groups. What differs is
here: a server runs in a pod of its own, regions are nodes, and a process of the runner's machine carries connections into the cluster, through
`kubectl port-forward`. Pods carry those between servers. What is imported here is for the outside; the rest is not.
"""

from drplatform.platforms.kubernetes import kind
from drplatform.platforms.kubernetes.cluster import Cluster
from drplatform.platforms.kubernetes.platform import KubernetesPlatform, sweep

__all__ = ["Cluster", "KubernetesPlatform", "kind", "sweep"]
