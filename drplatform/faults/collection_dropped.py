"""A person drops a collection by mistake."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _destroying
from drplatform.model import errors, ports, powers


@dataclass(frozen=True)
class CollectionDropped(_destroying.Destroying):
    """A collection is dropped by mistake. `namespace` is by default the one that the clients write to."""

    store: str = "mongodb"
    namespace: str = ""

    kind = "collection-dropped"

    def affects(self) -> frozenset[str]:
        return frozenset({self.store})

    def needs(self) -> frozenset[str]:
        return frozenset({f"namespaced:{self.store}"})

    def aim(self, scene: ports.Scene) -> powers.Aim:
        return powers.Aim((self._name(scene),), len(self._store(scene).namespaces()), destroys=True)

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        name = self._name(scene)
        identity = self._store(scene).namespaces().get(name)
        if identity is None:
            raise errors.Inconclusive(f"There is no collection {name} in {self.store} that could be dropped.")
        return {"namespace": name, "identity": identity}

    def apply(self, scene: ports.Scene) -> None:
        self._store(scene).drop(self._name(scene))

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        """Clients may have made the collection anew at once, so its identity tells and not its absence."""
        now = self._store(scene).namespaces().get(before["namespace"])
        if now == before["identity"]:
            return ports.Receipt((), f"{before['namespace']} is still the same collection")
        seen = "is gone" if now is None else "was made anew by its clients"
        return ports.Receipt((before["namespace"],), f"the collection of before {seen}")

    def _store(self, scene: ports.Scene) -> ports.Namespaced:
        store = scene.stores[self.store]
        assert isinstance(store, ports.Namespaced)  # the plan has made sure
        return store

    def _name(self, scene: ports.Scene) -> str:
        return self.namespace or self._store(scene).marks_namespace


FAULT = CollectionDropped
