"""Dump and restore of a cluster's objects: one part a section, `manifests/objects`, `environment/objects`, `secrets/objects`."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from drplatform.model import errors
from drplatform.model.backup import BASES, BackupKind
from drplatform.model.clock import Clock
from drplatform.model.ports import DumpEnd, Part, RestoreEnd
from drplatform.model.position import Position
from drplatform.stores.kubernetes import applying, fidelity, inventory, resource
from drplatform.stores.kubernetes.api import Cluster
from drplatform.stores.kubernetes.mapping import NamespaceMapping
from drplatform.stores.kubernetes.resource import SECTIONS, Resource, Tally
from drplatform.stores.kubernetes.selection import Selection


@contextmanager
def dump(cluster: Cluster, chosen: Selection, position: Position) -> Iterator["KubernetesDump"]:
    yield KubernetesDump(cluster, chosen, position)


class KubernetesDump:
    """See `ports.Dump`. Everything is listed before the first part is given, so that an API which is away fails the backup at once."""

    def __init__(self, cluster: Cluster, chosen: Selection, position: Position) -> None:
        self._cluster, self._chosen, self._position = cluster, chosen, position
        self._tally = Tally()

    def parts(self) -> Iterator[Part]:
        found = [f.resource for f in inventory.read(self._cluster, self._chosen)]
        self._tally.add(found)
        for section in SECTIONS:
            of_section = [r for r in found if r.section == section]
            yield Part(f"{section}/objects", 0, partial(resource.blocks, self._position, of_section), section == "secrets")

    def finish(self) -> DumpEnd:
        return DumpEnd(self._position, self._position, self._tally.digests(), self._tally.counts())


@contextmanager
def restore(cluster: Cluster, mapping: NamespaceMapping, clock: Clock) -> Iterator["KubernetesRestore"]:
    yield KubernetesRestore(cluster, mapping, clock)


class KubernetesRestore:
    """See `ports.Restore`. Objects are applied when all of them are known, because they need each other across parts."""

    def __init__(self, cluster: Cluster, mapping: NamespaceMapping, clock: Clock) -> None:
        self._cluster, self._mapping, self._clock = cluster, mapping, clock
        self._lock = threading.Lock()
        self._wanted: list[Resource] = []
        self._reached: Position | None = None
        self._outcome = applying.Outcome()

    def load(self, kind: BackupKind, part: str, blocks: Iterator[bytes]) -> None:
        if kind not in BASES:
            raise errors.StoreError(f"Manifests are restored from full backups, not from {kind}; choose another backup.")
        position, found = resource.read(part, blocks)
        with self._lock:
            self._wanted += map(self._mapping.map, found)
            self._reached = position

    def loaded(self, last: bool = False) -> None:
        """Apply everything."""
        self._outcome = applying.apply(self._cluster, self._wanted, self._clock)

    def replay(self, blocks: Iterator[bytes], until: Position | None) -> None:
        raise errors.StoreError("Manifests have no continuous log; restore without one.")

    def finish(self) -> RestoreEnd:
        """Reads everything back: what is not as in the backup is told, whether the server refused it or not."""
        if self._reached is None:
            raise errors.IntegrityError("The backup holds no manifests at all; do not trust it, use another one.")
        found = read_back(self._cluster, self._wanted)
        taken = [r for r in self._wanted if r.key not in self._outcome.refused]
        different = [f"{change}" for change in fidelity.unexplained(taken, [r for r in found if r.key not in self._outcome.refused])]
        tally = Tally().add(found)
        counts = tally.counts() | {"written": self._outcome.written, "already there": self._outcome.present}
        return RestoreEnd(self._reached, tally.digests(), counts, (*self._outcome.sentences(), *different))


def read_back(cluster: Cluster, wanted: list[Resource]) -> list[Resource]:
    """The same objects as the cluster has them now, each through the version that it was applied in."""
    types, found = cluster.types(), []
    for one in wanted:
        type_ = types.of(one)
        if type_ and (current := cluster.exists(type_, one)):
            found.append(inventory.configuration(type_, current))
    return found
