"""The composition of detection: generations of backups, read as their stores wrote them, and how well damage of backups is caught.

Names edges, as `environment` does.
"""

import hashlib
import math
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from drplatform import environment
from drplatform.engine import backups, generations, mutations
from drplatform.environment import Environment, Vault
from drplatform.model import anomaly, errors
from drplatform.repositories.memory import MemoryRepository
from drplatform.stores.files import framing
from drplatform.stores.files.content import End, Header, Void

ON_BACKUPS = ("backup-", "manifest-", "log-", "retention-")
"""How the faults on backups are called."""


IN_WINDOWS = anomaly.Tolerances(turned=3, turned_share=0.1, changed=math.inf, gone=math.inf, added=math.inf, types=math.inf)
"""Windows shift when something is put in between, so that only what looks random and the whole size say something."""


def score(env: Environment, vault: Vault, stores: tuple[str, ...], bytes_at_most: int) -> list[mutations.Mutation]:
    """Cause every fault on backups on a copy of the newest ones, in memory: the vault is read and never written.

    Raises KeyUnavailable without a private key, SettingsError when there are no backups, or more than fit.
    """
    if vault.opener is None:
        raise errors.KeyUnavailable("Looking into backups needs a private key; name an age identity file with --identity.")
    manifests = [m for m in backups.Catalogue(vault.repository).read().manifests if not stores or m.store in stores]
    if not manifests:
        raise errors.SettingsError("There are no backups to try the faults on; take some with: drplatform backups take")
    copy = MemoryRepository(env.clock)
    taken = mutations.copied(vault.repository, copy, manifests, bytes_at_most)
    kinds = tuple(kind for kind in environment.fault_kinds() if kind.startswith(ON_BACKUPS))
    with tempfile.TemporaryDirectory() as directory:
        trial = mutations.Trial(copy, vault.opener, taken, env.policy, env.clock, Path(directory))
        return mutations.score(trial, environment.fault, kinds)


def examine(vault: Vault, store: str, count: int) -> list[anomaly.Finding]:
    """A finding for each of the newest generations of the store, oldest first. Raises KeyUnavailable without a private key."""
    if vault.opener is None:
        raise errors.KeyUnavailable("Looking into backups needs a private key; name an age identity file with --identity.")
    chosen = generations.newest(vault.repository, store, count)
    kind = chosen[-1].store_kind
    read, allowed = (READERS[kind], None) if kind in READERS else (generations.blocks_in_windows, IN_WINDOWS)
    return anomaly.examine([generations.read(m, vault.repository, vault.opener, read) for m in chosen], allowed)


def files(parts: Iterable[tuple[str, Iterable[bytes]]]) -> Iterator[generations.Piece]:
    """Every object of the buckets; the type is the ending of its key."""
    for name, blocks in parts:
        if name.startswith("content/"):
            yield from _objects(name.split("/")[1], blocks)


def _objects(bucket: str, blocks: Iterable[bytes]) -> Iterator[generations.Piece]:
    header, begin, digest = None, b"", hashlib.sha256()
    for event in framing.events(blocks):
        match event:
            case Header() if event.age:  # an older version is no change
                header = None
            case Header():
                header, begin, digest = event, b"", hashlib.sha256()
            case End() if header:
                yield f"{bucket}/{header.key}", PurePosixPath(header.key).suffix, header.size, digest.hexdigest(), begin
            case Void():
                header = None
            case bytes():
                digest.update(event)
                begin = begin or event[: anomaly.SAMPLE_BYTES]


READERS = {"files": files}
"""By the kind of the store; others are compared in windows."""
