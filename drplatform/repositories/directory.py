"""Objects as files below a directory. An object is there whole or not at all: written aside, made durable, then linked into its place."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from drplatform.model import errors, whole
from drplatform.model.clock import Clock
from drplatform.model.ports import ObjectInfo

ASIDE = ".incoming"
SECONDS_ASIDE = 24 * 3600.0
"""What was written aside so long ago belongs to a writer that was killed."""


def open(place: Path, clock: Clock) -> "DirectoryRepository":
    """The repository in that directory, which is made when missing. Raises SettingsError."""
    try:
        (place / ASIDE).mkdir(parents=True, exist_ok=True, mode=0o700)
        _forget_killed_writers(place / ASIDE, clock)
    except OSError as error:
        raise errors.SettingsError(f"The backup directory {place} cannot be used ({error.strerror}); name another.") from error
    return DirectoryRepository(place)


class DirectoryRepository:
    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def put(self, key: str, data: bytes, sha256: str = "") -> None:
        try:
            self._put(self._path(key), key, data)
        except OSError as error:
            raise errors.StoreError(f"{key} cannot be stored in {self.describe()} ({error.strerror}).") from error

    def get(self, key: str) -> bytes:
        with self._reading(key), self._path(key).open("rb", buffering=0) as file:
            return file.read()

    def open(self, key: str) -> BinaryIO:
        with self._reading(key):
            return self._path(key).open("rb", buffering=0)

    @contextlib.contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise errors.ObjectMissing(f"{key} is not in {self.describe()}.") from None
        except OSError as error:
            raise errors.StoreError(f"{key} in {self.describe()} cannot be read ({error.strerror}).") from error

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        begin = self._root / prefix.rpartition("/")[0].lstrip("/")
        keys = (p.relative_to(self._root).as_posix() for p in begin.rglob("*") if p.is_file()) if ".." not in begin.parts else ()
        for key in sorted(k for k in keys if k.startswith(prefix) and not k.startswith(ASIDE + "/")):
            try:
                found = self._path(key).stat()
            except FileNotFoundError:
                continue  # deleted since the listing began
            yield ObjectInfo(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def delete(self, key: str) -> None:
        path = self._path(key)
        try:
            path.unlink(missing_ok=True)
        except (IsADirectoryError, NotADirectoryError):
            return  # there are objects below this key, or above it, but none of it
        except OSError as error:
            raise errors.StoreError(f"{key} cannot be deleted from {self.describe()} ({error.strerror}).") from error
        if path.parent.is_dir():
            whole.sync_directory(path.parent)

    def describe(self) -> str:
        return f"directory {self._root}"

    def _put(self, path: Path, key: str, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, aside = tempfile.mkstemp(dir=self._root / ASIDE)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._link(aside, path, key, data)
        finally:
            Path(aside).unlink()
        whole.sync_directory(path.parent)

    def _link(self, aside: str, path: Path, key: str, data: bytes) -> None:
        """A hard link fails when the name is taken, whoever takes it: one winner."""
        try:
            os.link(aside, path)
        except FileExistsError:
            if path.read_bytes() != data:
                raise errors.ObjectExists(f"{key} exists with other content in {self.describe()}; objects are never overwritten.") from None

    def _path(self, key: str) -> Path:
        parts = PurePosixPath(key).parts
        if not parts or key.startswith("/") or ".." in parts or key != "/".join(parts) or "\0" in key or parts[0] == ASIDE:
            raise errors.SettingsError(f"{key!r} is no key of a repository.")
        return self._root.joinpath(*parts)


def _forget_killed_writers(aside: Path, clock: Clock) -> None:
    oldest = clock.utc().timestamp() - SECONDS_ASIDE
    for left in aside.iterdir():
        with contextlib.suppress(FileNotFoundError):  # its writer has ended meanwhile
            if left.stat().st_mtime < oldest:
                left.unlink()
