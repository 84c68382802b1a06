"""A person deletes a namespace of a Kubernetes cluster."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from drplatform.faults import _aside
from drplatform.model import errors, ports, powers, whole

STORE = "kubernetes"


class _Cluster(ports.DataStore, ports.Namespaced, powers.Copied, Protocol):
    """What the fault needs of the store."""


@dataclass(frozen=True)
class NamespaceDeleted:
    """A namespace of the Kubernetes cluster is deleted with everything in it. Its objects come back; what was in volumes does not.

    `namespace`: by default the drill's own. A copy of the objects is kept aside, with the platform, until the fault is healed.
    """

    store: str = STORE
    namespace: str = ""

    lasting = True
    kind = "namespace-deleted"

    def affects(self) -> frozenset[str]:
        return frozenset({self.store})

    def needs(self) -> frozenset[str]:
        return frozenset({f"store:{self.store}", f"namespaced:{self.store}", f"copied:{self.store}"})

    def aim(self, scene: ports.Scene) -> powers.Aim:
        """Of all namespaces of the cluster: the scene knows the one alone."""
        return powers.Aim((self._name(scene),), _store(scene, self.store).population(), destroys=True)

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        """Which namespace of which cluster it is. The objects, secrets among them, are kept aside and not in the journal."""
        name, store = self._name(scene), _store(scene, self.store)
        identity = store.namespaces().get(name)
        if identity is None:
            raise errors.Inconclusive(f"There is no namespace {name} in {self.store} that could be deleted.")
        kept = _aside.keep(scene, store.copied(name))
        return {"cluster": store.identity(), "namespace": name, "identity": identity, "kept": kept}

    def apply(self, scene: ports.Scene) -> None:
        _store(scene, self.store).drop(self._name(scene))

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        """By its identity in the cluster's own list: somebody may have made one of the same name at once."""
        now = _store(scene, self.store).namespaces().get(before["namespace"])
        if now == before["identity"]:
            return ports.Receipt((), f"{before['namespace']} is still the same namespace")
        seen = "is gone" if now is None else "was made anew"
        return ports.Receipt((before["namespace"],), f"the namespace of before {seen}")

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        """Put the objects back where nobody has made the namespace again. One that a recovery has brought back is left as it is."""
        store, begun = _store(scene, self.store), self._begun(scene, before)
        if store.identity() != before["cluster"]:
            raise errors.StoreError(f"This is another cluster than that in which {before['namespace']} was deleted; name that one.")
        if before["namespace"] not in store.namespaces() or begun.exists():
            content = _aside.kept(scene, before["kept"])
            if content is None:
                raise errors.StoreError(f"The copy of {before['namespace']} is kept no more; restore it from a backup.")
            whole.write(begun, b"")
            if refused := store.put_back(content):
                raise errors.StoreError(f"Not all of {before['namespace']} could be put back: {'; '.join(refused[:5])}")
        _aside.forget(scene, before["kept"])
        begun.unlink(missing_ok=True)

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        return before["namespace"] in _store(scene, self.store).namespaces() and not self._begun(scene, before).exists()

    def _name(self, scene: ports.Scene) -> str:
        name = self.namespace or _store(scene, self.store).marks_namespace
        if not name:
            raise errors.SettingsError(f"Say which namespace is to be deleted: -p namespace=NAME; see: drplatform faults show {self.kind}")
        return name

    def _begun(self, scene: ports.Scene, before: Mapping[str, Any]) -> Path:
        """Is there while objects are put back: who was killed meanwhile has left a part of them, which is no recovery's."""
        return _aside.place(scene) / f"{before['kept']}.begun"


def _store(scene: ports.Scene, name: str) -> _Cluster:
    found = scene.stores.get(name)
    if found is None:
        raise errors.StoreError(f"No cluster is known here as {name}; name its kubeconfig: DRPLATFORM_KUBECONFIG.")
    return cast(_Cluster, found)  # the plan has made sure


FAULT = NamespaceDeleted
