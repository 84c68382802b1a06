"""Whether what was done to backups is found by what a recovery looks at before it restores anything. Restores nothing."""

from collections.abc import Callable, Iterator

from drplatform.engine import backups
from drplatform.engine.kit import Kit
from drplatform.model import errors


def found(kit: Kit, store: str, custody: Callable[[], None]) -> list[str]:
    """What is wrong with the backups of the store, in words: by custody (what was taken, as known outside the vault), then object by object."""
    return [*_said(custody), *_objects(kit, store)]


def _said(look: Callable[[], None]) -> list[str]:
    try:
        look()
    except (errors.IntegrityError, errors.LogGap) as error:
        return [str(error)]
    return []


def _objects(kit: Kit, store: str) -> Iterator[str]:
    """Every object against its manifest, every chunk opened with its key."""
    opener = backups.Opener(kit.keys.identities)
    listing = backups.Catalogue(kit.repository).read(store)
    yield from listing.problems
    for manifest in listing.manifests:
        try:
            yield from backups.verify(manifest, kit.repository, opener).problems
        except (errors.IntegrityError, errors.KeyUnavailable) as error:
            yield str(error)
