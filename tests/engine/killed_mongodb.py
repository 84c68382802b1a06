"""A process to be killed: takes backups, captures or restores, as the tests of kills tell it. Finds the tests' servers by PYTHONPATH.

python killed_mongodb.py ACTION HOST:PORT REPOSITORY KEYS [resume]
"""

import random
import sys
import threading
from pathlib import Path

import real_servers

from drplatform.engine import backups
from drplatform.engine.capturing import Capturing
from drplatform.model.backup import BackupKind, chain_to
from drplatform.model.ports import Address, Endpoint
from drplatform.repositories import directory
from drplatform.stores import mongodb
from drplatform.stores.mongodb import dump, increment, loading, scan

CLOCK = real_servers.CLOCK


def smaller() -> None:
    """Many small blocks, so that a kill falls between and into them."""
    for module in (dump, scan, increment):
        module.BLOCK_BYTES = 20_000
    scan.PART_BYTES = 100_000
    increment._IDS_A_PART = 50
    loading._BATCH_BYTES = 5_000


def main() -> None:
    action, address, place, keys = sys.argv[1:5]
    smaller()
    host, port = address.split(":")
    store = mongodb.connect(Endpoint("mongodb", (Address(host, int(port)),)), CLOCK)
    repository = directory.open(Path(place), CLOCK)
    (secret,) = backups.read_identities(Path(keys))
    public, generator = backups.public(secret), random.Random()
    print("ready", flush=True)
    if action == "capture":
        Capturing(store, BackupKind.FULL, repository, [public], CLOCK, generator, lambda told: None).run(threading.Event())
    elif action == "restore":
        chain = chain_to(backups.Catalogue(repository).read().manifests, "mongodb")
        lease = backups.Lease("mongodb", store.identity())
        backups.restore(chain, store, repository, backups.Opener((secret,)), lease, CLOCK, resume="resume" in sys.argv)
    else:
        backups.back_up(store, BackupKind(action), repository, [public], CLOCK, generator)


if __name__ == "__main__":
    main()
