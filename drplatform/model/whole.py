"""A file that is there whole or as it was before, however the process that writes it ends."""

import os
from pathlib import Path


def write(path: Path, content: bytes | str, mode: int = 0o600) -> None:
    """Replace the file, or make it, in one step. Durable on return. One writer at a time. Raises OSError."""
    fresh = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as out:
        out.write(content.encode() if isinstance(content, str) else content)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """The names in it are durable on return. Raises OSError."""
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
