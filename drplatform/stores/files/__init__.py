"""File storage (S3) through its public interface alone: buckets, how they are set up, and their objects with metadata, content types, tags,
storage classes, access control lists and older versions.

The outside uses `connect`. Options of the endpoint:
- `buckets`: names, comma separated; the first one also holds the marks of the ledger;
- `region` (us-east-1) and `scheme` (http);
- `versions`: `all` (the default), or `current` to leave older versions out.

Consistency: an object in a dump is whole, as it was at one moment, never half old and half new. S3 has no snapshot of a bucket: a dump's
`end` is the time at which its listing began. It holds everything acknowledged before, except what was deleted meanwhile, and may hold
later versions of objects that were written while it ran.
Beside what all stores offer: `increment` (only what changed is read), `reconcile` (a delta restore, also of a prefix or some objects, also into
other buckets) and `check` (all of a backup against the buckets, or a sample with the confidence that it gives).
Left out: locks of single objects, delete markers that are not the newest, and what names things outside of a bucket.
"""

from drplatform.model.clock import Clock
from drplatform.model.ports import Endpoint
from drplatform.stores.files.store import FilesStore


def connect(endpoint: Endpoint, clock: Clock) -> FilesStore:
    """A store at this endpoint; connections are made when they are needed. Raises SettingsError when the endpoint lacks something."""
    return FilesStore(endpoint, clock)
