"""The data store: the buckets of an S3 endpoint."""

import random
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from drplatform.model import errors
from drplatform.model.backup import Digest
from drplatform.model.clock import Clock
from drplatform.model.ledger import Mark
from drplatform.model.ports import BackupParts, Checked, Dump, Endpoint, Marker, ObjectChoice, Prober, Reconciled, Restore, ResumedRestore
from drplatform.model.position import Position
from drplatform.stores.files import access, configuration, digest, dump, lease, listing, marks, reconcile, replication, restore, versions
from drplatform.stores.files import seed as seeds

_EVERYTHING = ObjectChoice()


class FilesStore:
    """See `ports.DataStore`, `ports.Resumable`, `ports.Comparing` and `ports.Reconcilable`."""

    name = "files"
    kind = "files"
    ordered = False

    def __init__(self, endpoint: Endpoint, clock: Clock) -> None:
        self.endpoint, self._clock = endpoint, clock
        self.buckets, self._older = access.buckets(endpoint), access.older(endpoint)
        self._lock = threading.Lock()
        self._client: Any = None

    def identity(self) -> str:
        """The markers of all buckets; a bucket without one gets one, a missing bucket is made."""
        return "-".join(self._marker_of(bucket) for bucket in self.buckets)

    def version(self) -> str:
        """What the server calls itself."""
        with access.doing(f"reach {self.endpoint.addresses[0]}"):
            headers = self._s3.list_buckets()["ResponseMetadata"]["HTTPHeaders"]
        return str(headers.get("server", "an S3 server that does not name itself"))

    def position(self) -> Position:
        """The time by our clock, in milliseconds: S3 has no history of its own."""
        identity, at = self.identity(), self._clock.utc().timestamp()
        return Position(identity, (int(at * 1000),), at)

    def occupants(self) -> tuple[str, ...]:
        self.identity()
        return tuple(words for bucket in self.buckets for words in listing.occupants(self._s3, bucket))

    def dump(self) -> AbstractContextManager[Dump]:
        return dump.dump(self._s3, self.buckets, self.position(), self._older)

    def increment(self, previous: BackupParts) -> AbstractContextManager[Dump]:
        """Begin a dump of what changed since the backup of which these are the parts (only its indexes are read)."""
        return dump.increment(self._s3, self.buckets, self.position(), previous, self._older)

    def reconcile(self, chain: Sequence[BackupParts], choice: ObjectChoice = _EVERYTHING) -> Reconciled:
        """Bring the buckets, which may hold something, to the last backup of the chain; only what differs is written.

        What a restore left that was cut off is finished with that, if everything was chosen. Raises TargetRefused when one is at work.
        """
        self.identity()
        left = lease.left(self._s3, self.buckets[0], self._clock)
        found = reconcile.reconcile(self._s3, self.buckets, chain, choice)
        words = lease.forget(self._s3, self.buckets[0]) if left and choice.everything else ""
        return replace(found, refused=(*found.refused, words)) if words else found

    def check(self, backup: BackupParts, share: float, generator: random.Random, into: Mapping[str, str] | None = None) -> Checked:
        """Compare with a backup: all names and sizes, and the content and properties of a share (0 to 1) of the objects."""
        return reconcile.check(self._s3, self.buckets, backup, share, generator, into)

    def replicate(
        self, target: "FilesStore", stop: threading.Event, every: float = 1.0, in_step_until: datetime | None = None
    ) -> Iterator[replication.Pass]:
        """Keep the target as this store is, deletes included, until `stop` is set: at least one pass every `every` seconds.

        The two were in step at `in_step_until`, when the target may have led: what has equal content and is not younger is not copied again.

        Raises TargetRefused, before anything is written, when the target is this store, or has other buckets.
        """
        if self.buckets != target.buckets:
            raise errors.TargetRefused(
                f"The target has the buckets {', '.join(target.buckets)}, not {', '.join(self.buckets)}; name the same."
            )
        if self.identity() == target.identity():
            raise errors.TargetRefused("The target of the replication is the source itself; name the secondary's address.")
        return replication.follow(self._s3, target._s3, self.buckets, self._clock, stop, every, in_step_until)

    def newer_in(self, target: "FilesStore") -> tuple[str, ...]:
        return replication.newer(self._s3, target._s3, self.buckets)

    def restore(self) -> AbstractContextManager[Restore]:
        return restore.restore(self._s3, self.buckets, self._clock)

    def resume(self, plan: str, again: bool) -> AbstractContextManager[ResumedRestore]:
        return restore.restore(self._s3, self.buckets, self._clock, plan, again)

    def unfinished(self) -> str:
        return lease.unfinished(self._s3, self.buckets[0])

    def halfway(self) -> str:
        try:
            return self.unfinished()
        except errors.StoreError as error:
            if access.is_forbidden(error.__cause__):
                return ""
            raise

    def digest(self) -> Mapping[str, Digest]:
        """By bucket; older versions, and how the bucket is set up, by names of their own where there is any."""
        found = digest.measure(self._s3, self.buckets, self._reference).digests()
        return {**found, **configuration.digests(self._s3, self.buckets)}

    def _reference(self, s3: Any, bucket: str) -> Iterator[listing.Entry]:
        if self._older and versions.kept(s3, bucket):
            return versions.entries(s3, bucket, listing.is_reference)
        return listing.reference(s3, bucket)

    def seed(self, seed: int, items: int) -> None:
        self.identity()
        seeds.seed(self._s3, self.buckets, seed, items)

    def marker(self, client: str) -> Marker:
        return marks.FilesMarker(self.endpoint, self._clock, self.buckets[0])

    def marks(self) -> Iterator[Mark]:
        return marks.marks(self._s3, self.endpoint, self._clock)

    def prober(self, anchor: Mark, payload: bytes) -> Prober:
        return marks.FilesProber(self.endpoint, self._clock, self.buckets[0], anchor, payload)

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client = None

    @property
    def _s3(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = access.client(self.endpoint)
            return self._client

    def _marker_of(self, bucket: str) -> str:
        found = self._read_marker(bucket)
        if found is None:
            self._write_marker(bucket)
            found = self._read_marker(bucket)
        if not found:
            raise errors.StoreError(
                f"The identity of the bucket {bucket} cannot be read; remove its {listing.IDENTITY} or name another bucket."
            )
        return found

    def _read_marker(self, bucket: str) -> str | None:
        try:
            with access.doing(f"read the identity of the bucket {bucket}"):
                body: bytes = self._s3.get_object(Bucket=bucket, Key=listing.IDENTITY)["Body"].read()
            return body.decode("ascii", "replace")
        except errors.StoreError as error:
            cause = error.__cause__
            if not isinstance(cause, ClientError) or access.status(cause) != 404:
                raise
            if access.code(cause) == "NoSuchBucket":
                access.make_bucket(self._s3, bucket)
            return None

    def _write_marker(self, bucket: str) -> None:
        """Of several that write at once, one wins."""
        try:
            with access.doing(f"mark the bucket {bucket}"):
                self._s3.put_object(Bucket=bucket, Key=listing.IDENTITY, Body=secrets.token_hex(8).encode(), IfNoneMatch="*")
        except errors.StoreError as error:
            if not isinstance(error.__cause__, ClientError) or not access.is_changed(error.__cause__):
                raise
