"""Whether the cluster holds what the backup says, and which differences have a reason of their own. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from drplatform.model.inspection import Change
from drplatform.stores.kubernetes import difference
from drplatform.stores.kubernetes.resource import Resource


def unexplained(wanted: Sequence[Resource], found: Iterable[Resource]) -> list[Change]:
    """Every difference between what should be there and what is, but those that a controller of the cluster makes by right."""
    scaled = _scaled(wanted)
    return [c for c in difference.compare(wanted, found) if not _explained(c, scaled)]


def _explained(change: Change, scaled: Mapping[str, str]) -> bool:
    """Replicas are the autoscaler's."""
    return change.where == "spec.replicas" and change.subject in scaled


def _scaled(resources: Iterable[Resource]) -> dict[str, str]:
    """Workloads that an autoscaler scales -> its name."""
    found = {}
    for resource in resources:
        for subject in _targets(resource):
            found[subject] = resource.key.name
    return found


def _targets(resource: Resource) -> Iterator[str]:
    if resource.kind == "HorizontalPodAutoscaler":
        target = (resource.document.get("spec") or {}).get("scaleTargetRef") or {}
        group = str(target.get("apiVersion", "")).rpartition("/")[0]
        yield str(resource.key._replace(group=group, kind=str(target.get("kind", "")), name=str(target.get("name", ""))))
