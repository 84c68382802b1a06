"""Chaos Toolkit actions. Each performs one activity of the drill that the control drplatform.chaos.control has planned from them."""

from collections.abc import Mapping, Sequence
from typing import Any

from chaoslib.types import Configuration

from drplatform.chaos import session

__all__ = ["back_up", "capture", "go_on_writing", "heal", "inflict", "notice_damage", "recover", "restart", "restore_cluster"]


def back_up(store: str, kind: str = "full", configuration: Configuration = None) -> str:
    """Take a backup of a store (mongodb, redis, files) to the vault: kind full or snapshot."""
    return session.of(configuration).perform("back_up", store=store, kind=kind)


def capture(store: str, configuration: Configuration = None) -> str:
    """Follow the store's log from here on and seal it in the vault every second."""
    return session.of(configuration).perform("capture", store=store)


def go_on_writing(writes: int = 100, configuration: Configuration = None) -> str:
    """Wait until every store has acknowledged so many further writes."""
    return session.of(configuration).perform("go_on_writing", writes=writes)


def inflict(fault: str, parameters: Mapping[str, Any] | None = None, configuration: Configuration = None) -> str:
    """Cause a disaster (see `drplatform faults list`). Fails unless an independent look confirms it on at least one target."""
    return session.of(configuration).perform("inflict", fault=fault, parameters=parameters)


def heal(configuration: Configuration = None) -> str:
    """End every disaster, as far as it can be undone, and wait until users are served again."""
    return session.of(configuration).perform("heal")


def notice_damage(store: str, configuration: Configuration = None) -> str:
    """Look at the backups of a store, as before a recovery. Fails unless it is seen that they are not as they were left."""
    return session.of(configuration).perform("notice_damage", store=store)


def recover(
    targets: Mapping[str, str], region: str = "primary", killed: bool = False, hung: str = "", configuration: Configuration = None
) -> str:
    """Recover stores into new servers from their backups alone, each to `latest`, `before the drop` or `before the fault`.

    `killed`: each restore, to `latest`, is first begun by a process that is killed in the middle, and then gone on with.
    `hung`: a phase (decide, provision, restore, verify, switch, rejoin, protect) whose steps first hang, are given up, and begun again.
    """
    return session.of(configuration).perform("recover", targets=targets, region=region, killed=killed, hung=hung)


def restart(stores: Sequence[str], region: str = "primary", configuration: Configuration = None) -> str:
    """Start the killed servers of these stores again, on the disks that they have."""
    return session.of(configuration).perform("restart", stores=stores, region=region)


def restore_cluster(configuration: Configuration = None) -> str:
    """Restore the objects of the Kubernetes cluster in the order of their dependencies, compare them with the backup, and look at its health."""
    return session.of(configuration).perform("restore_cluster")
