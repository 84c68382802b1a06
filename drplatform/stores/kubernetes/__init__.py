"""The configuration of a Kubernetes cluster, through its API server: manifests, config maps and secrets.

The outside uses `connect`, and `secret` for settings that name one. Options of the endpoint: `kubeconfig` and `context` (neither: the pod's own service account), `namespaces`, `kinds`
and `labels` choose what is backed up (see `Selection`), `map` (old=new) brings it into other namespaces.

Backed up is what people made: every object that discovery finds, custom ones and their definitions too, without what the cluster adds by
itself. Left out are the cluster's own namespaces, objects that a controller owns or that only say what runs, and jobs and pods that have ended.
References to owners are left out too: they name their owner by an id that a restored one does not have.

A dump has a part of its own for secrets, so that they can be encrypted to recipients of their own. Lists are each of one moment; the dump's
`end` is the time at which it began. The ledger does not write manifests: there are no marks and no prober.
"""

from drplatform.model.clock import Clock
from drplatform.model.ports import Endpoint
from drplatform.stores.kubernetes.reference import secret
from drplatform.stores.kubernetes.store import KubernetesStore

__all__ = ["KubernetesStore", "connect", "secret"]


def connect(endpoint: Endpoint, clock: Clock) -> KubernetesStore:
    """A store of the cluster that the options name. Nothing is asked of the cluster yet. Raises SettingsError."""
    return KubernetesStore(endpoint, clock)
