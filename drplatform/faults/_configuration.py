"""What faults on the configuration share: files of a section of its directory as victims."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drplatform.faults import _destroying
from drplatform.model import errors, ports, powers


@dataclass(frozen=True)
class OnConfiguration(_destroying.Destroying):
    """The files of one section (manifests, environment, secrets) of the configuration's directory, or those that `pattern` matches."""

    store: str = "configuration"
    pattern: str = "*"

    section = ""

    def affects(self) -> frozenset[str]:
        """No client of the ledger writes configuration."""
        return frozenset()

    def needs(self) -> frozenset[str]:
        return frozenset({f"store:{self.store}", f"reached:{self.store}"})

    def aim(self, scene: ports.Scene) -> powers.Aim:
        root = self._root(scene)
        every = [p for p in root.rglob("*") if p.is_file() and not p.is_symlink()]
        return powers.Aim(tuple(str(p.relative_to(root)) for p in self.files(scene)), len(every), destroys=True)

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        """Digests of the whole section, keyed with a random salt, so that they tell nothing of what is secret."""
        salt, root = os.urandom(16).hex(), self._root(scene)
        files = self.files(scene)
        if not files:
            raise errors.Inconclusive(f"The configuration has no {self.section} that match {self.pattern!r}.")
        return {"salt": salt, "files": {str(p.relative_to(root)): _digest(salt, p) for p in files}}

    def apply(self, scene: ports.Scene) -> None:
        for path in self.files(scene):
            path.write_bytes(self.spoiled(path.read_bytes()))

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        root = self._root(scene)
        changed = tuple(name for name, was in before["files"].items() if _digest(before["salt"], root / name) != was)
        if len(changed) < len(before["files"]):
            return ports.Receipt((), f"{len(changed)} of {len(before['files'])} files are others than before")
        return ports.Receipt(changed, "read again, they say something else than before")

    def spoiled(self, content: bytes) -> bytes:
        """What a file becomes."""
        raise NotImplementedError

    def files(self, scene: ports.Scene) -> list[Path]:
        found = (self._root(scene) / self.section).rglob(self.pattern)
        return sorted(p for p in found if p.is_file() and not p.is_symlink())

    def _root(self, scene: ports.Scene) -> Path:
        store = scene.stores[self.store]
        assert isinstance(store, powers.Reached)  # the plan has made sure
        if "directory" not in store.endpoint.options:
            raise errors.PlanError(f"this fault changes a directory of configuration, and {self.store} is not one")
        return Path(store.endpoint.options["directory"])


def _digest(salt: str, path: Path) -> str:
    return hashlib.sha256(salt.encode() + path.read_bytes()).hexdigest() if path.exists() else ""
