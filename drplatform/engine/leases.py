"""One instance at a time, across machines, by immutable objects in the vault: whoever writes the next number holds the lease.

The vault's put refuses a key that is taken by other data, so of several that try the same number one wins. Holders compare their own clock
with the time in the lease, so clocks may differ by SKEW at the most.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from drplatform.model import errors, ports
from drplatform.model.clock import Clock

TERM = timedelta(seconds=30)
SKEW = timedelta(seconds=10)
CLOSING = 10
KEPT = 3
"""So many old numbers are left behind; the rest is deleted."""


@dataclass
class Lease:
    """`holder` says who we are, differently for each process. Used by one thread."""

    name: str
    holder: str
    repository: ports.Repository
    clock: Clock
    term: timedelta = TERM

    def acquire(self) -> bool:
        """Take it, or renew it. False while somebody else holds it. Call at least each third of the term."""
        number, holder, until = self._newest()
        now = self.clock.utc()
        if holder != self.holder and now < until + SKEW:
            return False
        try:
            self.repository.put(self._key(number + 1), self._content(self.holder, now + self.term))
        except errors.ObjectExists:
            return False
        self._forget(number + 1 - KEPT)
        return True

    def holder_now(self) -> str:
        """Who holds it; empty when nobody does."""
        _, holder, until = self._newest()
        return holder if self.clock.utc() < until + SKEW else ""

    def release(self) -> None:
        """Give it up, if it is ours, so that nobody has to wait for its end."""
        number, holder, _ = self._newest()
        if holder == self.holder:
            with suppress(errors.ObjectExists):
                self.repository.put(self._key(number + 1), self._content("", self.clock.utc() - SKEW))

    def close(self, until: datetime) -> None:
        """Nobody takes it before then, not even we: what it was for is done."""
        for _ in range(CLOSING):
            number, _, _ = self._newest()
            with suppress(errors.ObjectExists):  # a renewal of our own was first
                self.repository.put(self._key(number + 1), self._content("", until))
                return
        raise errors.StoreError(f"The lease {self.name} is taken anew all the time; see who does.")

    def _newest(self) -> tuple[int, str, datetime]:
        keys = [info.key for info in self.repository.list(f"leases/{self.name}/")]
        if not keys:
            return 0, "", self.clock.utc() - SKEW
        try:
            read = json.loads(self.repository.get(max(keys)))
            return int(max(keys).rpartition("/")[2]), str(read["holder"]), datetime.fromisoformat(read["until"])
        except (ValueError, KeyError, errors.ObjectMissing) as error:
            raise errors.IntegrityError(f"The lease {max(keys)} in the vault is unreadable ({error}); remove it.") from error

    def _forget(self, below: int) -> None:
        for info in list(self.repository.list(f"leases/{self.name}/")):
            if info.key < self._key(below):
                with suppress(errors.StoreError):  # a vault may keep what it has; old numbers do no harm
                    self.repository.delete(info.key)

    def _key(self, number: int) -> str:
        return f"leases/{self.name}/{max(0, number):012}"

    def _content(self, holder: str, until: datetime) -> bytes:
        return json.dumps({"holder": holder, "until": until.isoformat()}).encode()


def forget(repository: ports.Repository, newest: str, kept: int = KEPT) -> None:
    """Of leases whose names end with a time, and are like the newest but for that, leave only the last few."""
    alike = {
        name
        for info in repository.list(f"leases/{newest.rpartition('-')[0]}-")
        if len(name := info.key.split("/")[1]) == len(newest) and name <= newest
    }
    for name in sorted(alike)[:-kept]:
        for info in list(repository.list(f"leases/{name}/")):
            with suppress(errors.StoreError):  # a vault may keep what it has; old leases do no harm
                repository.delete(info.key)
