"""A restore of Redis in a process of its own, to be killed where it halts. Told on standard input."""

import json
import sys
import threading
from pathlib import Path

import real_servers

from drplatform.engine import backups
from drplatform.model.ports import Address, Endpoint
from drplatform.model.secret import Secret
from drplatform.repositories import directory
from drplatform.stores import redis
from drplatform.stores.redis.source import Source

CLOCK = real_servers.CLOCK


def halt_after(total: int) -> None:
    """When the target was sent so many bytes, the next sending says so, and never returns."""
    sent, send = 0, Source.send

    def counted(self, data) -> None:
        nonlocal sent
        if sent >= total:
            print("halts", flush=True)
            threading.Event().wait()
        send(self, data)
        sent += len(data)

    Source.send = counted


def main() -> None:
    told = json.loads(sys.stdin.readline())
    halt_after(told["bytes"])
    store = redis.connect(Endpoint("redis", (Address("127.0.0.1", told["port"]),)), CLOCK)
    repository = directory.open(Path(told["vault"]), CLOCK)
    chain, lease = backups.Catalogue(repository).chain_to("redis"), backups.Lease("redis", store.identity())
    backups.restore(chain, store, repository, backups.Opener([Secret(told["identity"])]), lease, CLOCK)
    print("ended", flush=True)


if __name__ == "__main__":
    main()
