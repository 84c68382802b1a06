"""What a fault keeps aside, with the platform, to put it back when it is healed: by its digest, readable by its owner alone, on disk before anything is touched.

For what is too large for the journal, or secret.
"""

import hashlib
from pathlib import Path

from drplatform.model import ports, whole


def place(scene: ports.Scene) -> Path:
    """The directory; it goes with the platform."""
    found = scene.platform.directory / "aside"
    found.mkdir(mode=0o700, exist_ok=True)
    return found


def digest(data: bytes | None) -> str:
    """Empty for what is not there."""
    return hashlib.sha256(data).hexdigest() if data is not None else ""


def keep(scene: ports.Scene, data: bytes | None) -> str:
    """The digest of the content, by which `kept` finds it again."""
    if data is not None:
        whole.write(place(scene) / digest(data), data)
    return digest(data)


def kept(scene: ports.Scene, name: str) -> bytes | None:
    """None: there was nothing, or it is kept no more."""
    path = place(scene) / name
    return path.read_bytes() if name and path.exists() else None


def forget(scene: ports.Scene, name: str) -> None:
    if name:
        (place(scene) / name).unlink(missing_ok=True)
