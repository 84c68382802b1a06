"""Replication of a store that has none of its own, as a service: into its replica in another region, until it is told to stop."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from drplatform.model import errors, ports
from drplatform.model.clock import Clock
from drplatform.model.replication import Member, Replication, Role

EVERY = 1.0
"""Seconds between two passes."""

Tell = Callable[[str], object]


@dataclass
class Replicating:
    """From `store` to `target`. `tell` is given what people should know."""

    store: ports.DataStore
    target: ports.DataStore
    clock: Clock
    tell: Tell
    last: ports.ReplicationPass | None = None

    def run(self, stop: threading.Event) -> None:
        """Raises SettingsError when the store replicates by itself, TargetRefused when it is the target that leads."""
        source = self.store
        if not isinstance(source, ports.Replicable):
            raise errors.SettingsError(f"{source.name} replicates by itself; leave it out of replicas.")
        if ahead := source.newer_in(self.target):
            raise errors.TargetRefused(
                f"The replica of {source.name} holds what is newer than all of its primary ({', '.join(ahead[:5])}): it may lead now. Nothing "
                "was touched; if it does, swap the two in the configuration, else delete these objects there."
            )
        told = ""
        for seen in source.replicate(self.target, stop, EVERY):
            self.last = seen
            if seen.problem and seen.problem != told:
                self.tell(f"{source.name} is not replicated: {seen.problem}")
            told = seen.problem

    def lag(self) -> float | None:
        """Seconds of writes that the replica may lack now; None before it had everything once."""
        last = self.last
        return (self.clock.utc() - last.as_of).total_seconds() if last and last.as_of else None

    def seen(self, primary: str, replica: str) -> Replication:
        """As two servers at these addresses."""
        return Replication(
            self.store.name, (Member(primary, Role.PRIMARY, lag_seconds=0.0), Member(replica, Role.SECONDARY, lag_seconds=self.lag()))
        )
