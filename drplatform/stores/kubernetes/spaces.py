"""Namespaces of a cluster as things of their own: which there are, whose they are, and how one goes."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from drplatform.model import clock as clocks
from drplatform.model.clock import Clock
from drplatform.stores.kubernetes.api import Cluster, Missing, Type
from drplatform.stores.kubernetes.resource import Resource
from drplatform.stores.kubernetes.seed import OWNER
from drplatform.stores.kubernetes.selection import SYSTEM_NAMESPACES, Selection

GONE_WITHIN = 300.0
"""Seconds: what is in a namespace may take its time to end."""
_TYPE = Type("", "v1", "Namespace", "namespaces", namespaced=False, status_apart=True)


@dataclass(frozen=True)
class Space:
    """`owner`: who has made it for a drill; empty for all others. `going`: it is being deleted."""

    name: str
    uid: str
    owner: str
    going: bool


def listed(cluster: Cluster, chosen: Selection) -> Iterator[Space]:
    for document in cluster.items(_TYPE):
        metadata = document["metadata"]
        name = metadata["name"]
        if name in chosen.namespaces if chosen.namespaces else name not in SYSTEM_NAMESPACES:
            owner = (metadata.get("annotations") or {}).get(OWNER, "")
            yield Space(name, metadata["uid"], owner, "deletionTimestamp" in metadata)


def delete(cluster: Cluster, clock: Clock, name: str) -> None:
    """Returns when it is gone; nothing when it is not there."""
    namespace = Resource({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    found = cluster.exists(_TYPE, namespace)
    if found and "deletionTimestamp" not in found["metadata"]:
        with suppress(Missing):
            cluster.delete(_TYPE, namespace)
    clocks.wait_for(clock, f"the namespace {name} to go", lambda: cluster.exists(_TYPE, namespace) is None, within=GONE_WITHIN, every=0.2)


def sweep(cluster: Cluster, clock: Clock, is_gone: Callable[[str], bool]) -> int:
    """Delete the namespaces whose owner is gone; how many there were. Those without an owner are nobody's business."""
    left = [space.name for space in listed(cluster, Selection()) if space.owner and is_gone(space.owner)]
    for name in left:
        delete(cluster, clock, name)
    return len(left)


def content(namespace: str, found: Iterable[Resource]) -> bytes:
    """The namespace and what is in it, one object a line."""
    itself = Resource({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}).key
    return b"".join(r.canonical() + b"\n" for r in found if r.key == itself or r.key.namespace == namespace)


def resources(content: bytes) -> list[Resource]:
    """Back again."""
    return [Resource(json.loads(line)) for line in content.splitlines()]
