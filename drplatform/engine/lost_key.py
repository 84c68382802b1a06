"""The key that opens the backups is lost: without it nothing opens, and enough of its holders bring it back, while fewer do not."""

from collections.abc import Iterable

from drplatform.engine import backups, custody
from drplatform.engine.backups import escrow
from drplatform.engine.kit import Keys, Kit
from drplatform.model import errors
from drplatform.model.backup import Manifest


def brought_back(kit: Kit, stores: Iterable[str], needed: int, holders: int) -> Keys:
    """The keys, put together from `needed` of `holders` shares drawn at random; every backup of the stores opens with them.

    Raises VerificationFailed when backups open without a key, or fewer holders recover it; and what a verification of the backups raises.
    """
    shares = list(escrow.split(kit.keys.identities[0], needed, holders))
    kit.random.shuffle(shares)
    _require_closed(kit, stores)
    try:
        escrow.join(shares[: needed - 1])
    except errors.KeyUnavailable:
        joined = escrow.join(shares[:needed])
    else:
        raise errors.VerificationFailed(f"{needed - 1} holders recovered the key of the backups, where {needed} should be needed.")
    for store in stores:
        custody.verified(kit.repository, store, backups.Opener([joined]))
    return Keys(kit.keys.recipients, (joined,))


def _require_closed(kit: Kit, stores: Iterable[str]) -> None:
    """With some other key, no backup opens."""
    opener = backups.Opener([backups.generate()[1]])
    for store in stores:
        for manifest in backups.Catalogue(kit.repository).read(store).manifests:
            if manifest.chunks and _opens(kit, manifest, opener):
                raise errors.VerificationFailed(f"Backup {manifest.id} opens without its key.")


def _opens(kit: Kit, manifest: Manifest, opener: backups.Opener) -> bool:
    try:
        return not backups.verify(manifest, kit.repository, opener).problems
    except errors.KeyUnavailable:
        return False
