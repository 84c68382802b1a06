"""A platform that stays up after the command that started it: up, attach, statuses, down.

What `drplatform platform` does; prints nothing and chooses no place by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.model.ports import Address, Endpoint
from drplatform.platforms.embedded import binaries, layout, lease
from drplatform.platforms.embedded.platform import EmbeddedPlatform

ORPHAN = "orphan"


@dataclass(frozen=True)
class ServerStatus:
    name: str
    kind: str
    region: str
    address: Address
    running: bool


@dataclass(frozen=True)
class Status:
    """One platform. `kind` is `manual`, `run` (belongs to a running drill) or `orphan` (its owner died; the next run clears it).

    `endpoints`: by `mongodb`, `redis`, `files`, `vault`. Only what it has; empty, like `servers`, while a platform is just being made.
    """

    id: str
    kind: str
    directory: Path
    servers: tuple[ServerStatus, ...] = ()
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)


def up(
    clock: Clock, base: Path, servers: Mapping[str, str], environment: Mapping[str, str], wanted: frozenset[str] = frozenset()
) -> Status:
    """Start a platform that stays. Arguments as of `EmbeddedPlatform.create`."""
    platform = EmbeddedPlatform.create(clock, base, servers, environment, wanted)
    platform.start()
    platform.keep()
    return _status(platform, base.absolute() / platform.id, lease.MANUAL)


def attach(clock: Clock, base: Path, servers: Mapping[str, str], environment: Mapping[str, str], id: str | None = None) -> EmbeddedPlatform:
    """The platform of that id made by hand, or the only one. Entering and leaving it starts and stops nothing. Raises SettingsError."""
    directory = _find(base, id)
    platform = EmbeddedPlatform.create(clock, base, servers, environment)
    platform.open(directory, layout.Layout.load(directory))
    return platform


def statuses(clock: Clock, base: Path) -> list[Status]:
    """All platforms below the base, also those of running drills and of killed ones."""
    return [_look(clock, directory) for directory in lease.directories(base.absolute())]


def down(clock: Clock, base: Path, id: str | None = None) -> str:
    """Stop the platform of that id made by hand, or the only one, and remove it. Returns its id. Raises SettingsError."""
    directory = _find(base, id)
    taken = lease.claim(directory)
    if taken is None:
        raise errors.SettingsError(f"The platform {directory.name} is being taken down by somebody else.")
    taken.remove(clock)
    return directory.name


def _find(base: Path, id: str | None) -> Path:
    manual = [d for d in lease.directories(base.absolute()) if (terms := lease.terms(d)) and terms.kind == lease.MANUAL]
    wanted = [d for d in manual if id in (None, d.name)]
    if len(wanted) == 1:
        return wanted[0]
    known = ", ".join(d.name for d in manual) or "none"
    if id or not manual:
        raise errors.SettingsError(f"No platform {id or 'made by hand'} is up (known: {known}); start one with: drplatform platform up")
    raise errors.SettingsError(f"Several platforms are up ({known}); say which: --platform-id ID, or `drplatform platform down ID`.")


def _look(clock: Clock, directory: Path) -> Status:
    terms = lease.terms(directory)
    kind = lease.MANUAL if terms and terms.kind == lease.MANUAL else lease.RUN if lease.has_owner(directory) else ORPHAN
    try:
        drawn = layout.Layout.load(directory)
    except errors.SettingsError:  # it is just being made, or removed
        return Status(directory.name, kind, directory)
    platform = EmbeddedPlatform(clock, directory.parent, binaries.NONE, {})
    platform.open(directory, drawn)
    return _status(platform, directory, kind)


def _status(platform: EmbeddedPlatform, directory: Path, kind: str) -> Status:
    found = tuple(ServerStatus(s.name, s.kind, s.region, s.listens_at, s.running()) for s in platform.everything())
    has = [k for k in layout.KINDS if any(region.of(k) for region in platform.regions)]  # an experiment's has only what it uses
    return Status(directory.name, kind, directory, found, {**{k: platform.endpoint(k) for k in has}, "vault": platform.vault()})
