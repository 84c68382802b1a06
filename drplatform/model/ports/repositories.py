"""Where backups lie."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol, runtime_checkable


@dataclass(frozen=True)
class ObjectInfo:
    key: str
    size: int
    modified: datetime


class Repository(Protocol):
    """Immutable objects by key. Safe to use from several threads. Transient errors are retried inside, bounded."""

    def put(self, key: str, data: bytes, sha256: str = "") -> None:
        """Store durably, all or nothing. Raises ObjectExists when the key is taken by other data; the same data again is fine.

        `sha256`: of the data in hex, from who has taken it already, for a server that compares it with what it receives.
        """

    def get(self, key: str) -> bytes:
        """Raises ObjectMissing."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """In order of keys."""

    def delete(self, key: str) -> None:
        """Nothing when it is not there."""

    def describe(self) -> str:
        """Where this is, for people; without secrets."""


@runtime_checkable
class OfFiles(Protocol):
    """A repository whose objects are files, so that what was read once need not be copied to be read again."""

    def open(self, key: str) -> BinaryIO:
        """The object, to be read for as long as it is open, though it may be deleted meanwhile. Raises ObjectMissing."""


@runtime_checkable
class Undeletes(Protocol):
    """A repository that keeps what was deleted for a while."""

    def undelete(self, prefix: str) -> tuple[str, ...]:
        """Show again what was deleted under the prefix and is still kept; its keys. Raises StoreError where nothing is kept."""
