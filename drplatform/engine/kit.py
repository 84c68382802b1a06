"""What drills and recoveries work with: the ports and values that the composition hands them."""

import random
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from drplatform.engine.phrases import FaultLookup
from drplatform.model import ports, services, timeline
from drplatform.model.clock import Bound, Clock, unbounded
from drplatform.model.policy import Policy
from drplatform.model.secret import Secret


class Apart(Protocol):
    """A process that restores into a store, and can be killed, or made to hang."""

    def running(self) -> bool: ...

    def hang(self) -> None:
        """SIGSTOP. Nothing when it has ended."""

    def hangs(self) -> bool:
        """Whether it is stopped, as the operating system says."""

    def kill(self) -> None: ...

    def said(self) -> str:
        """The last that it said, without secrets."""


Connect = Callable[[ports.Endpoint], ports.DataStore]
"""From an endpoint to the store that is reached there, under the name of its kind."""


@dataclass(frozen=True)
class Keys:
    """`recipients` are public (age1...): all that a backup job needs. `identities` open backups again."""

    recipients: tuple[str, ...]
    identities: tuple[Secret, ...]


@dataclass(frozen=True)
class Kit:
    """Made by `environment`. `directory` is the run's own, outside the platform: ledger and journal lie there."""

    platform: ports.Platform
    stores: Mapping[str, ports.DataStore]
    repository: ports.Repository
    keys: Keys
    connect: Connect
    faults: FaultLookup
    policy: Policy
    clock: Clock
    random: random.Random
    directory: Path
    operator: str
    versions: Mapping[str, str]
    listener: timeline.Listener = lambda event: None
    bound: Bound = unbounded
    """Ends what hangs."""
    application: Callable[[Mapping[str, ports.Endpoint]], services.Application] | None = None
    """From the stores' endpoints, by kind, to the users of the services on them."""
    sign_off: Callable[[], str] = lambda: ""
    """Asks who has looked at critical functionality; empty when nobody has."""
    traffic: ports.Traffic | None = None
    """The public names, where the platform has some that move."""
    identity: Callable[[Callable[[str], Mapping[str, Any]]], AbstractContextManager[ports.Repository]] | None = None
    """The vault as an identity sees it that may do what a policy document (of the vault's bucket) says; None where the vault has no such thing."""
    apart: Callable[[ports.Endpoint], Apart] | None = None
    """Begins a restore of the latest backup into the store at an endpoint, in a process of its own."""
