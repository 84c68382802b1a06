"""Disasters, and that they took effect."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from drplatform.model.clock import Clock, Interval
from drplatform.model.ports.platforms import Platform
from drplatform.model.ports.repositories import Repository
from drplatform.model.ports.stores import DataStore


@dataclass(frozen=True)
class Scene:
    """What faults and runbooks act on. `repository` is where the backups lie, if there is one."""

    platform: Platform
    stores: Mapping[str, DataStore]
    clock: Clock
    repository: Repository | None = None


@dataclass(frozen=True)
class Receipt:
    """That a fault took effect: on which targets, seen how. No targets: it did not."""

    targets: tuple[str, ...]
    seen: str


class Fault(Protocol):
    """A disaster as a frozen dataclass of its parameters. `engine/faulting` calls, in this order: capture, apply, confirm, heal, healed."""

    kind: str

    def affects(self) -> frozenset[str]:
        """Names of the stores whose users may notice."""

    def needs(self) -> frozenset[str]:
        """Capabilities, as in `drill.capabilities`: `store:mongodb`, `namespaced:mongodb`, `killable:primary`, `erasable:primary` ..."""

    def capture(self, scene: Scene) -> Mapping[str, Any]:
        """The state before, JSON-able and without secrets: enough for `heal` in another process. Touches nothing."""

    def apply(self, scene: Scene) -> None: ...

    def confirm(self, scene: Scene, before: Mapping[str, Any]) -> Receipt:
        """An independent look whether it took effect, by other means than `apply` used."""

    def heal(self, scene: Scene, before: Mapping[str, Any]) -> None:
        """Undo what can be undone; what is destroyed is the recovery's to bring back. Idempotent."""

    def healed(self, scene: Scene, before: Mapping[str, Any]) -> bool:
        """An independent look that nothing of the fault is in effect any more."""


@dataclass(frozen=True)
class FaultEffect:
    """When a fault took effect, in monotonic seconds: after its application began, before it was confirmed."""

    fault: str
    affects: frozenset[str]
    effect: Interval
    receipt: Receipt
