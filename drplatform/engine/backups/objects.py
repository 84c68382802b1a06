"""Delta restores of objects, and comparisons of what is there with a backup. Every part is authenticated as it is taken."""

import random
from collections.abc import Mapping

from drplatform.engine.backups import reading
from drplatform.engine.backups.restore import Lease
from drplatform.engine.backups.sealing import Opener
from drplatform.model import errors, ports
from drplatform.model.backup import Chain, Manifest


def reconcile(
    chain: Chain, store: ports.DataStore, repository: ports.Repository, opener: Opener, lease: Lease, choice: ports.ObjectChoice
) -> ports.Reconciled:
    """Bring the leased store, which may hold something, to the chain's last backup; only what differs is fetched and written.

    Raises SettingsError, TargetRefused, KeyUnavailable or IntegrityError before anything is written, when the target, the manifests or
    the index are not right.
    """
    target = _reconcilable(store)
    if (identity := store.identity()) != lease.identity:
        raise errors.TargetRefused(f"The target is {store.kind} {identity}, not {lease.identity} as was confirmed; nothing was touched.")
    return target.reconcile([reading.parts(m, repository, opener, lazily=True) for m in chain.backups], choice)


def compare(
    manifest: Manifest,
    store: ports.DataStore,
    repository: ports.Repository,
    opener: Opener,
    share: float,
    generator: random.Random,
    into: Mapping[str, str] | None = None,
) -> ports.Checked:
    """Compare what the store holds now with a backup: all names and sizes, and the content of a share (0 to 1) of the objects."""
    return _reconcilable(store).check(reading.parts(manifest, repository, opener, lazily=True), share, generator, into)


def _reconcilable(store: ports.DataStore) -> ports.Reconcilable:
    if not isinstance(store, ports.Reconcilable):
        raise errors.SettingsError(f"{store.name} is not file storage; restore it with `drplatform backups restore {store.name}`.")
    return store
