"""Pods of a cluster die: what faults on them share. Their disks die with them; others come in their place where a node takes them."""

from collections.abc import Iterable, Mapping
from typing import Any

from drplatform.faults import _servers
from drplatform.model import ports, powers


def cluster(scene: ports.Scene) -> powers.Scheduled:
    assert isinstance(scene.platform, powers.Scheduled)  # the plan has made sure
    return scene.platform


def capture(scene: ports.Scene, region: str, servers: Iterable[ports.Instance]) -> Mapping[str, Any]:
    """The servers that have a pod, and which."""
    pods, wanted = cluster(scene).pods(region), [s.name for s in servers]
    return {"servers": [name for name in wanted if name in pods], "pods": {n: pods[n].uid for n in wanted if n in pods}}


def replaced(scene: ports.Scene, region: str, before: Mapping[str, Any]) -> list[str]:
    """The servers whose pod of before is gone, whether another has come or not."""
    pods = cluster(scene).pods(region)
    return [name for name, uid in before["pods"].items() if name not in pods or pods[name].uid != uid]


def placed(scene: ports.Scene, region: str, before: Mapping[str, Any]) -> list[str]:
    """The servers whose pod is on a node."""
    return [name for name, pod in cluster(scene).pods(region).items() if pod.node and name in before["pods"]]


def healed(scene: ports.Scene, region: str, servers: Iterable[ports.Instance], before: Mapping[str, Any]) -> bool:
    return set(placed(scene, region, before)) == set(before["servers"]) and _servers.all_run(servers, before)
