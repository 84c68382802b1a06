"""Objects into a cluster: in the order of their dependencies, by server-side apply, again and again with the same result.

What is there already as it should be is not touched; what somebody else made and is different is never overwritten. Nothing that the server
refuses is passed over: it is tried again while that may help, then told.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from drplatform.model import clock as clocks
from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.stores.kubernetes import difference, ordering
from drplatform.stores.kubernetes.api import FIELD_MANAGER, Cluster, Refusal, Type, Types
from drplatform.stores.kubernetes.cleaning import marked
from drplatform.stores.kubernetes.inventory import configuration
from drplatform.stores.kubernetes.related import defines
from drplatform.stores.kubernetes.resource import Document, Key, Resource

WORKERS = 4
ESTABLISHED_WITHIN, GONE_WITHIN, AGAIN_WITHIN = 60.0, 120.0, 30.0
"""Seconds to wait for definitions to be served, for namespaces that are going, and for what the server may take another time."""
_DUPLICATES = "duplicate entries for key"
_REHEARSAL_NAMESPACE = "default"


@dataclass
class Outcome:
    """What became of the objects: how many were written, how many were there already, and what was refused, by object."""

    written: int = 0
    present: int = 0
    refused: dict[Key, str] = field(default_factory=dict)

    def sentences(self) -> tuple[str, ...]:
        return tuple(f"{key}: {why}" for key, why in sorted(self.refused.items()))


def apply(cluster: Cluster, resources: Sequence[Resource], clock: Clock) -> Outcome:
    """Bring the objects into the cluster. Raises StoreError when the server does not answer, DeadlineExceeded when a definition is not served."""
    return _Application(cluster, clock).run(resources)


def rehearse(cluster: Cluster, resources: Sequence[Resource], clock: Clock) -> Outcome:
    """Have the server check every object, with its own validation and admission, without changing anything.

    An object whose namespace is not there yet is checked in another one; a custom object whose definition is not there yet cannot be, which
    is told as a refusal only when the definition is not among the objects.
    """
    return _Rehearsal(cluster, clock).run(resources)


class _Application:
    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self._cluster, self._clock = cluster, clock
        self._types: Types = cluster.types()
        self._outcome = Outcome()

    def run(self, resources: Sequence[Resource]) -> Outcome:
        later: list[Resource] = []
        self._wait_gone([r for r in resources if r.kind == "Namespace" and not r.group])
        for stage, members in ordering.in_order(resources):
            later += self._apply_all(members)
            if stage == ordering.DEFINITIONS:
                self._wait_served([r for r in members if r.key not in self._outcome.refused])
        self._again(later)
        return self._outcome

    def _again(self, later: list[Resource]) -> None:
        """Until nothing is left that may be taken another time."""

        def attempt() -> list[Resource]:
            later[:] = self._apply_all(later)
            return later

        if later:
            with suppress(errors.DeadlineExceeded):  # what is left is among the refused
                clocks.wait_for(self._clock, "objects", attempt, within=AGAIN_WITHIN, every=1.0, until=lambda left: not left)

    def _apply_all(self, resources: Sequence[Resource]) -> list[Resource]:
        """Those that the server may take another time."""
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="apply") as pool:
            answers = list(pool.map(self._one, resources))
        later = []
        for resource, (written, refusal) in zip(resources, answers, strict=True):
            self._outcome.refused.pop(resource.key, None)
            self._outcome.written += written
            self._outcome.present += not written and refusal is None
            if refusal:
                self._outcome.refused[resource.key] = refusal.why
                if refusal.later:
                    later.append(resource)
        return later

    def _one(self, resource: Resource) -> tuple[bool, Refusal | None]:
        """Whether it was written, and why not."""
        type_ = self._types.of(resource)
        if type_ is None:
            return False, Refusal("the cluster does not have this kind of object; restore its definition first", False)
        current = self._cluster.exists(type_, resource)
        if current is None:
            return self._new(type_, resource)
        if "deletionTimestamp" in current["metadata"]:
            return False, Refusal("the cluster is still deleting the one that was there", True)
        if is_as(type_, current, resource):
            return False, None
        return _answer(self._cluster.apply(type_, marked(resource), force=is_ours(current)))

    def _new(self, type_: Type, resource: Resource) -> tuple[bool, Refusal | None]:
        answer = self._cluster.apply(type_, marked(resource), force=True)
        if isinstance(answer, Refusal) and _DUPLICATES in answer.why:
            answer = self._cluster.create(type_, marked(resource))
        return _answer(answer)

    def _wait_served(self, definitions: Sequence[Resource]) -> None:
        """Until the server says that it serves the kinds, and does."""
        for definition in definitions:
            what = f"the cluster to serve {definition.key.name}"
            clocks.wait_for(self._clock, what, lambda d=definition: self._established(d), within=ESTABLISHED_WITHIN, every=0.1)  # type: ignore[misc]
        if definitions:
            self._types = self._cluster.types()

    def _established(self, definition: Resource) -> bool:
        type_ = self._types.of(definition)
        current = self._cluster.exists(type_, definition) if type_ else None
        conditions = ((current or {}).get("status") or {}).get("conditions") or []
        return {"Established", "NamesAccepted"} <= {c["type"] for c in conditions if c.get("status") == "True"}

    def _wait_gone(self, namespaces: Sequence[Resource]) -> None:
        """A namespace that is being deleted takes nothing; what is put into it goes with it."""
        for namespace in namespaces:
            clocks.wait_for(
                self._clock, f"namespace {namespace.key.name} to be deleted", lambda n=namespace: not self._going(n), within=GONE_WITHIN, every=0.2  # type: ignore[misc]
            )  # fmt: skip

    def _going(self, namespace: Resource) -> bool:
        type_ = self._types.of(namespace)
        current = self._cluster.exists(type_, namespace) if type_ else None
        return "deletionTimestamp" in (current or {}).get("metadata", {})


class _Rehearsal:
    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self._cluster, self._clock = cluster, clock
        self._types = cluster.types()

    def run(self, resources: Sequence[Resource]) -> Outcome:
        outcome = Outcome()
        coming = {defines(r) for r in resources if r.kind == "CustomResourceDefinition"}
        for _, members in ordering.in_order(resources):
            for resource in members:
                if why := self._why_not(resource, coming):
                    outcome.refused[resource.key] = why
                else:
                    outcome.written += 1
        return outcome

    def _why_not(self, resource: Resource, coming: set[tuple[str, str]]) -> str:
        type_ = self._types.of(resource)
        if type_ is None:
            known = (resource.group, resource.kind) in coming
            return "" if known else "the cluster does not have this kind of object; restore its definition first"
        placed = self._placed(resource)
        current = self._cluster.exists(type_, placed)
        answer = self._cluster.apply(type_, placed, force=current is None or is_ours(current), dry_run=True)
        return answer.why if isinstance(answer, Refusal) else ""

    def _placed(self, resource: Resource) -> Resource:
        """In a namespace that is there."""
        key = resource.key
        if not key.namespace or self._has_namespace(key.namespace):
            return resource
        return Resource({**resource.document, "metadata": {**resource.metadata, "namespace": _REHEARSAL_NAMESPACE}})

    def _has_namespace(self, name: str) -> bool:
        namespace = Resource({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        type_ = self._types.of(namespace)
        return bool(type_ and self._cluster.exists(type_, namespace))


def is_as(type_: Type, current: Document, resource: Resource) -> bool:
    """Whether what is there says the same."""
    return not difference.compare([resource], [configuration(type_, current)])


def is_ours(current: Document) -> bool:
    """Whether a restore has written the object before."""
    return any(m.get("manager") == FIELD_MANAGER for m in current["metadata"].get("managedFields") or [])


def _answer(answer: Document | Refusal) -> tuple[bool, Refusal | None]:
    return (False, answer) if isinstance(answer, Refusal) else (True, None)
