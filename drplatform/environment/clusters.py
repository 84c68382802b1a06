"""The cluster whose manifests a drill deletes and brings back: a namespace of the drill's own in a cluster that somebody has named."""

import platform as machine
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drplatform.environment.settings import Settings
from drplatform.model import drill as drills
from drplatform.model import ports
from drplatform.model.clock import Clock
from drplatform.stores import kubernetes


@contextmanager
def cluster(settings: Settings, clock: Clock, scenario: drills.Scenario, platform: ports.Platform) -> Iterator[dict[str, ports.DataStore]]:
    """The store of the namespace, which is gone afterwards; nothing where the scenario needs none, or no cluster was named."""
    if settings.kubeconfig is None or not any(f"store:{drills.CLUSTER}" in a.needs() for a in scenario.activities):
        yield {}
        return
    name = f"drplatform-drill-{platform.id}"
    made = _connect(settings, clock, name, owner(platform.directory))
    try:
        made.sweep(lambda found: is_gone(found, settings.scratch))
        try:
            yield {drills.CLUSTER: made}
        finally:
            made.drop(name)
    finally:
        made.close()


def store(settings: Settings, clock: Clock, namespaces: str) -> dict[str, ports.DataStore]:
    """The store of these namespaces, of whomever they are; nothing where no cluster was named."""
    return {drills.CLUSTER: _connect(settings, clock, namespaces)} if settings.kubeconfig else {}


def _connect(settings: Settings, clock: Clock, namespaces: str, owned: str = "") -> kubernetes.KubernetesStore:
    options = {"kubeconfig": str(settings.kubeconfig), "context": settings.context, "namespaces": namespaces, "owner": owned}
    return kubernetes.connect(ports.Endpoint(drills.CLUSTER, options=options), clock)


def owner(directory: Path) -> str:
    """The machine and the directory of a platform: what it makes elsewhere is its own, and goes with it."""
    return f"{machine.node()}:{directory.absolute()}"


def is_gone(found: str, scratch: Path) -> bool:
    """Whether the owner was a platform of ours that is there no more. Other machines' are nobody's business here."""
    node, _, place = found.partition(":")
    return node == machine.node() and Path(place).is_relative_to(scratch.absolute()) and not Path(place).exists()
