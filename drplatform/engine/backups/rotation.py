"""Data keys wrapped anew for other recipients, without touching a backup.

A manifest is immutable and authenticated, wrapped key included, so what is wrapped anew lies beside the backups, as objects
`keys/<data key id>/<id>.json`. Nothing there is trusted: a key that comes out must have the id that the manifest names, and the manifest's
MAC must hold under it. Who could open a backup before still can: a rotation adds readers; it takes none away.
"""

import base64
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import pyrage

from drplatform.engine.backups import keys, sealing, second_seal
from drplatform.engine.backups.sealing import DataKey, Opener
from drplatform.model import errors, ports
from drplatform.model.backup import Manifest
from drplatform.model.clock import Clock
from drplatform.model.secret import Secret

PREFIX = "keys/"


class Ring(Opener):
    """Opens backups with private keys, also where their data keys were wrapped anew for these."""

    def __init__(self, identities: Sequence[Secret], repository: ports.Repository) -> None:
        super().__init__(identities)
        self._repository = repository
        self._anew: dict[str, DataKey] = {}

    def key(self, manifest: Manifest, key_id: str) -> DataKey:
        """As `Opener.key`."""
        if key_id in self._anew and key_id in manifest.keys:
            return self._anew[key_id]
        try:
            return super().key(manifest, key_id)
        except errors.KeyUnavailable:
            for wrapped in _wrapped_anew(self._repository, key_id):
                with suppress(errors.KeyUnavailable, errors.IntegrityError):  # another's, or rubbish: the next may be ours
                    self._anew[key_id] = super().key(replace(manifest, keys={key_id: wrapped}), key_id)
                    return self._anew[key_id]
            raise


@dataclass(frozen=True)
class Openable:
    """Whether one backup can be opened with the keys at hand, and why not."""

    backup: Manifest
    problem: str = ""


def check(manifests: Iterable[Manifest], opener: Opener) -> tuple[Openable, ...]:
    """By backup, whether its data key can be had and is the one that the manifest was written with. Reads no chunk but manifests' keys."""
    return tuple(Openable(manifest, _problem(manifest, opener)) for manifest in manifests)


def rewrap(
    manifests: Iterable[Manifest],
    repository: ports.Repository,
    opener: Opener,
    recipients: Sequence[str],
    clock: Clock,
    generator: random.Random,
    *,
    secrets: bool = False,
) -> int:
    """Wrap every data key of the backups for the recipients too; how many keys. May be repeated after it was cut off.

    Keys of secrets with readers of their own are left out; with `secrets` it is these alone.

    Every key is opened before the first is written. Raises KeyUnavailable, SettingsError for a wrong recipient.
    """
    readers = [keys.recipient(text) for text in recipients]
    if not readers:
        raise errors.SettingsError("Name the recipients that the backups are to be wrapped for (age1...).")
    if secrets:
        manifests = [second_seal.turned(m) for m in manifests if m.secrets]
    found = {key_id: opener.key(manifest, key_id) for manifest in manifests for key_id in manifest.keys}
    for key_id, key in found.items():
        wrapped = base64.b64encode(pyrage.encrypt(key._key, readers)).decode()
        content = json.dumps({"recipients": list(recipients), "wrapped": wrapped}).encode()
        repository.put(f"{PREFIX}{key_id}/{sealing.new_id(clock.utc(), generator)}.json", content)
    return len(found)


def _problem(manifest: Manifest, opener: Opener) -> str:
    try:
        for key_id in manifest.keys:
            opener.key(manifest, key_id)
        second_seal.check(opener, manifest)
    except (errors.KeyUnavailable, errors.IntegrityError) as error:
        return str(error)
    return ""


def _wrapped_anew(repository: ports.Repository, key_id: str) -> Iterator[str]:
    for info in repository.list(f"{PREFIX}{key_id}/"):
        with suppress(ValueError, KeyError, TypeError, errors.ObjectMissing):  # rubbish opens nothing
            yield str(json.loads(repository.get(info.key))["wrapped"])
