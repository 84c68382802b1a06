"""What a fault keeps aside, with the platform, to put it back when it is healed: by its digest, readable by its owner alone, on disk before anything is touched.

For what is too large for the journal, or secret.
"""

import hashlib
import os
from pathlib import Path

from drplatform.model import ports


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
        write(place(scene) / digest(data), data)
    return digest(data)


def kept(scene: ports.Scene, name: str) -> bytes | None:
    """None: there was nothing, or it is kept no more."""
    path = place(scene) / name
    return path.read_bytes() if name and path.exists() else None


def forget(scene: ports.Scene, name: str) -> None:
    if name:
        (place(scene) / name).unlink(missing_ok=True)


def write(path: Path, data: bytes) -> None:
    """Durably, and whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
