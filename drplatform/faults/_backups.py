"""What faults on backups share: which objects of the vault they change, how these are kept aside, and put back when healed.

Reads manifests as the data that they are (`model.backup`); holds no key, so that it does what somebody can who may only write to the vault.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drplatform.faults import _aside
from drplatform.model import errors, evidence, ports, powers, whole
from drplatform.model.backup import BASES, BackupKind, Manifest

MANIFEST, CHUNK = "manifest", "chunk"
Change = Mapping[str, bytes | None]
"""By key, what the object becomes; None: it is gone."""


@dataclass(frozen=True)
class Seen:
    """The backups of one kind of one store, oldest first: their manifests and all their objects."""

    manifests: tuple[Manifest, ...]
    objects: Mapping[str, bytes] = field(repr=False)

    @property
    def newest(self) -> Manifest:
        return self.manifests[-1]

    def manifest_keys(self) -> list[str]:
        return [manifest_key(m) for m in self.manifests]

    def chunk_keys(self) -> list[str]:
        return [c.key for m in self.manifests for c in m.chunks]


@dataclass(frozen=True)
class OnBackup:
    """Backups of a `store` in the vault: the newest of the kind `of` (full, snapshot, log; empty: whatever a restore begins with).

    `artefact`: `chunk` or `manifest`, what of it is changed.
    """

    store: str = "mongodb"
    of: str = ""
    artefact: str = CHUNK

    def affects(self) -> frozenset[str]:
        """Nobody notices before the backup is needed."""
        return frozenset()

    def needs(self) -> frozenset[str]:
        return frozenset({"repository", f"store:{self.store}"})

    def aim(self, scene: ports.Scene) -> powers.Aim:
        seen = look(_repository(scene), self.store, self.of)
        return powers.Aim(tuple(self.change(seen)), len(seen.objects), frozenset({"vault"}))

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        """What the objects are, by digest; their content is kept aside, with the platform."""
        if self.artefact not in (MANIFEST, CHUNK):
            raise errors.SettingsError(f"Of a backup a {CHUNK} or a {MANIFEST} can be changed, not {self.artefact!r}.")
        seen = look(_repository(scene), self.store, self.of)
        changed = self.change(seen)
        if not changed:
            raise errors.Inconclusive(f"Too few backups of {self.store} are in the vault for this fault; take another.")
        whole.write(self._considered(scene), json.dumps([m.id for m in seen.manifests]))
        return {"objects": {key: _aside.keep(scene, seen.objects.get(key)) for key in changed}}

    def apply(self, scene: ports.Scene) -> None:
        """On the backups that were there when the state was captured: others may have been taken since."""
        repository, considered = _repository(scene), json.loads(self._considered(scene).read_text())
        seen = look(repository, self.store, self.of)
        seen = dataclasses.replace(seen, manifests=tuple(m for m in seen.manifests if m.id in considered))
        for key, data in self.change(seen).items():
            replace(repository, key, data)

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        """Each object is read again: it is gone, or another than before."""
        repository = _repository(scene)
        changed = [key for key, was in before["objects"].items() if _aside.digest(fetch(repository, key)) != was]
        if len(changed) < len(before["objects"]):
            return ports.Receipt((), f"{len(changed)} of {len(before['objects'])} objects are others than before")
        return ports.Receipt(tuple(changed), "read again, they are gone or others than before")

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        repository = _repository(scene)
        for key, was in before["objects"].items():
            if _aside.digest(fetch(repository, key)) != was:
                kept = _aside.kept(scene, was)
                if was and kept is None:
                    raise errors.StoreError(f"What {key} was is kept no more; what is there instead is left as it is.")
                replace(repository, key, kept)

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        repository = _repository(scene)
        return all(_aside.digest(fetch(repository, key)) == was for key, was in before["objects"].items())

    def change(self, seen: Seen) -> Change:
        """What the fault makes of the objects seen; nothing when there are too few of them. Always the same."""
        raise NotImplementedError

    def _considered(self, scene: ports.Scene) -> Path:
        return _aside.place(scene) / f"considered-{self.store}-{self.of}.json"

    def keys(self, seen: Seen) -> list[str]:
        """The artefacts of the chosen sort, oldest first."""
        return seen.manifest_keys() if self.artefact == MANIFEST else seen.chunk_keys()


def look(repository: ports.Repository, store: str, of: str) -> Seen:
    """The backups as they are in the repository. A manifest that cannot be read is passed over."""
    kinds = {BackupKind(of)} if of else BASES
    objects, manifests = dict[str, bytes](), list[Manifest]()
    for kind in sorted(kinds):
        keys = [info.key for info in repository.list(f"{store}/{kind.value}/")]
        objects |= {key: data for key in keys if (data := fetch(repository, key)) is not None}
    for key in (k for k in objects if k.endswith("/manifest.json")):
        try:
            manifests.append(Manifest.from_json(json.loads(objects[key])["body"]))
        except (ValueError, KeyError, TypeError, errors.IntegrityError):
            continue
    return Seen(tuple(sorted(manifests, key=lambda m: (m.finished, m.id))), objects)


def manifest_key(manifest: Manifest) -> str:
    return f"{manifest.store}/{manifest.kind.value}/{manifest.id}/manifest.json"


def forged(seen: Seen, manifest: Manifest, **changes: Any) -> bytes:
    """The manifest changed by somebody without the key: its checksum is right, its MAC is that of before."""
    envelope = json.loads(seen.objects[manifest_key(manifest)])
    body = dataclasses.replace(manifest, **changes).to_json()
    content = evidence.canonical(body)
    return evidence.canonical({"body": body, "sha256": hashlib.sha256(content).hexdigest(), "mac": envelope["mac"]})


def fetch(repository: ports.Repository, key: str) -> bytes | None:
    try:
        return repository.get(key)
    except errors.ObjectMissing:
        return None


def replace(repository: ports.Repository, key: str, data: bytes | None) -> None:
    """Objects are never overwritten by a repository, so whoever changes one deletes it first."""
    repository.delete(key)
    if data is not None:
        repository.put(key, data)


def exchanged(seen: Seen, keys: Iterable[str], shifted: Iterable[str]) -> Change:
    """Each of the keys gets what the other holds."""
    return {key: seen.objects[other] for key, other in zip(keys, shifted, strict=True)}


def _repository(scene: ports.Scene) -> ports.Repository:
    assert scene.repository is not None  # the plan has made sure
    return scene.repository
