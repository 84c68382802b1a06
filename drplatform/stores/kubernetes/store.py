"""The data store: the configuration of one Kubernetes cluster."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from drplatform.model import errors
from drplatform.model.backup import Digest
from drplatform.model.clock import Clock
from drplatform.model.inspection import Change
from drplatform.model.ledger import Mark
from drplatform.model.ports import Dump, Endpoint, Marker, Prober, Restore
from drplatform.model.position import Position
from drplatform.stores.kubernetes import api, applying, difference, dump, fidelity, health, inventory, resource, spaces, text
from drplatform.stores.kubernetes import seed as seeds
from drplatform.stores.kubernetes.api import FIELD_MANAGER, Cluster
from drplatform.stores.kubernetes.mapping import NamespaceMapping
from drplatform.stores.kubernetes.resource import Resource, Tally
from drplatform.stores.kubernetes.selection import SYSTEM_NAMESPACES, Selection

_SHARED = ("CustomResourceDefinition", "Namespace")
BackupParts = Iterable[tuple[str, Iterable[bytes]]]


class KubernetesStore:
    """See `ports.DataStore`, `ports.Namespaced`, `ports.Inspectable`, `ports.Verifiable`, `powers.Copied` and `powers.Clustered`."""

    name = "kubernetes"
    kind = "kubernetes"
    ordered = False

    def __init__(self, endpoint: Endpoint, clock: Clock) -> None:
        self.endpoint, self._clock = endpoint, clock
        self._cluster = Cluster(endpoint.options.get("kubeconfig", ""), endpoint.options.get("context", ""), clock)
        self._chosen = Selection.read(endpoint.options)
        self._mapping = NamespaceMapping.read(endpoint.options.get("map", ""))
        self._owner = endpoint.options.get("owner", "")
        self.marks_namespace = next(iter(sorted(self._chosen.namespaces)), "")

    def identity(self) -> str:
        """The uid of the namespace that every cluster has, and no two share."""
        return str(self._cluster.get("/api/v1/namespaces/kube-system")["metadata"]["uid"])

    def places(self) -> tuple[tuple[str, str]]:
        """See `powers.Clustered`."""
        return (api.place(self.endpoint.options.get("kubeconfig", ""), self.endpoint.options.get("context", "")),)

    def version(self) -> str:
        return f"Kubernetes {self._cluster.get('/version')['gitVersion']}"

    def position(self) -> Position:
        """The time by our clock, in milliseconds: objects of different kinds have no common history."""
        identity, at = self.identity(), self._clock.utc().timestamp()
        return Position(identity, (int(at * 1000),), at)

    def occupants(self) -> tuple[str, ...]:
        """Objects that no restore has made, in places that none has made either.

        Definitions and namespaces may be there: they are shared, and compared one by one. In a namespace that a restore has made, controllers
        put things too; a restore that goes on there never overwrites them.
        """
        found = inventory.read(self._cluster, self._target_selection())
        ours = {f.resource.key.name for f in found if f.resource.kind == "Namespace" and FIELD_MANAGER in f.managers}
        foreign = [f.resource.key for f in found if FIELD_MANAGER not in f.managers and f.resource.kind not in _SHARED]
        return tuple(str(key) for key in foreign if key.namespace not in ours and (key.namespace or not self._chosen.namespaces))

    def dump(self) -> AbstractContextManager[Dump]:
        return dump.dump(self._cluster, self._chosen, self.position())

    def restore(self) -> AbstractContextManager[Restore]:
        return dump.restore(self._cluster, self._mapping, self._clock)

    def digest(self) -> Mapping[str, Digest]:
        """By section. That of the secrets is one number over all of them."""
        return Tally().add(self._live()).digests()

    def seed(self, seed: int, items: int) -> None:
        """Into the namespace that is chosen; without one, into one of the reference content's own."""
        space = next(iter(sorted(self._chosen.namespaces)), seeds.NAMESPACE)
        outcome = applying.apply(self._cluster, list(seeds.resources(seed, items, space, self._owner)), self._clock)
        if outcome.refused:
            raise errors.StoreError(f"The cluster refused reference content: {'; '.join(outcome.sentences())}")

    # -- namespaces: ports.Namespaced ------------------------------------------------------------------------------------------

    def namespaces(self) -> Mapping[str, str]:
        """The chosen namespaces that are there (without a choice: all but the cluster's own), each with its uid."""
        return {f.name: f.uid for f in spaces.listed(self._cluster, self._chosen) if not f.going}

    def drop(self, namespace: str) -> None:
        """Delete the namespace with everything in it, one of those that were chosen by name. Returns when it is gone."""
        if namespace not in self._chosen.namespaces or namespace in SYSTEM_NAMESPACES:
            raise errors.StoreError(f"The namespace {namespace} is not one that this store was made for, so it is not deleted.")
        spaces.delete(self._cluster, self._clock, namespace)

    def population(self) -> int:
        return sum(not found.going for found in spaces.listed(self._cluster, Selection()))

    def copied(self, namespace: str) -> bytes:
        """See `powers.Copied`. What it needs of the cluster as a whole does not go with it, and is left out."""
        of_it = replace(self._chosen, namespaces=frozenset({namespace}), kinds=frozenset(), labels="")
        found = [f.resource for f in inventory.read(self._cluster, of_it)]
        return spaces.content(namespace, found)

    def put_back(self, content: bytes) -> Sequence[str]:
        wanted = spaces.resources(content)
        outcome = applying.apply(self._cluster, wanted, self._clock)
        taken = [r for r in wanted if r.key not in outcome.refused]
        changed = fidelity.unexplained(taken, dump.read_back(self._cluster, taken))
        return (*outcome.sentences(), *map(str, changed))

    def sweep(self, is_gone: Callable[[str], bool]) -> int:
        """Delete the namespaces that drills have made whose owner (see `seed.OWNER`) is gone; the number of them."""
        return spaces.sweep(self._cluster, self._clock, is_gone)

    def marker(self, client: str) -> Marker:
        raise errors.StoreError("The ledger does not write manifests; leave this store out of the clients' stores.")

    def marks(self) -> Iterator[Mark]:
        """None: the ledger does not write manifests."""
        return iter(())

    def prober(self, anchor: Mark, payload: bytes) -> Prober:
        raise errors.StoreError("Manifests are no service that a prober could use; leave this store out of the probed ones.")

    def close(self) -> None:
        self._cluster.close()

    # -- inspection -----------------------------------------------------------------------------------------------------------

    def differences(self, before: BackupParts, after: BackupParts | None, without: frozenset[str] = frozenset()) -> Sequence[Change]:
        """What changed from one backup to another, or (None) to the cluster as it is now."""
        old, new = _resources(before, without), self._live() if after is None else _resources(after, without)
        return difference.compare(old, [one for one in new if one.section not in without])

    def rehearse(self, parts: BackupParts) -> Sequence[str]:
        """What the cluster would refuse of the backup, by its own validation and admission; nothing is changed."""
        wanted = [self._mapping.map(r) for r in _resources(parts)]
        return applying.rehearse(self._cluster, wanted, self._clock).sentences()

    def documents(self, parts: BackupParts) -> Mapping[str, str]:
        """Path -> YAML of what is in the backup, without secrets."""
        return text.manifests(_resources([part for part in parts if not part[0].startswith("secrets/")]))

    def validate(self) -> list[str]:
        """What is wrong with the cluster: API, nodes, system pods, names, storage."""
        return health.defects(self._cluster)

    def _live(self) -> list[Resource]:
        return [f.resource for f in inventory.read(self._cluster, self._chosen)]

    def _target_selection(self) -> Selection:
        """Where a restore would put what this selection chooses."""
        return replace(self._chosen, namespaces=frozenset(map(self._mapping.place, self._chosen.namespaces)), labels="")


def _resources(parts: BackupParts, without: frozenset[str] = frozenset()) -> list[Resource]:
    """Parts of a section that is left out are not opened."""
    chosen = (part for part in parts if part[0].partition("/")[0] not in without)
    return [one for name, blocks in chosen for one in resource.read(name, blocks)[1]]
