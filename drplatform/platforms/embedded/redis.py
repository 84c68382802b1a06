"""The command line of a Redis (or Valkey) server, and what a platform asks of it at run time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import redis as driver

from drplatform.model.ports import Address
from drplatform.platforms.embedded import layout
from drplatform.platforms.embedded.process import Waits

SECONDS_TO_SYNC = 600.0
FOLLOWS = "follows"
"""The setting that makes a server a replica: `host port` of its primary."""

_OPTIONS = {
    "appendonly": "yes",
    "appendfsync": "everysec",  # the strategy's
    "save": "3600 1",
    "repl-diskless-sync": "yes",
    "repl-diskless-sync-delay": "0",
    "repl-backlog-size": "16mb",
    "protected-mode": "no",  # else only 127.0.0.1 itself may connect
    "set-proc-title": "no",  # a new title would overwrite the environment, and with it the tag
    "daemonize": "no",
}


class Server:
    """Persistent as the strategy says: append-only file synced every second, and snapshots."""

    transient: tuple[type[Exception], ...] = (driver.RedisError, OSError)

    def __init__(self, program: Path) -> None:
        self._program = program

    def command(self, place: layout.Place, port: int, disk: Path, settings: Mapping[str, str]) -> list[str]:
        options = {**_OPTIONS, "dir": str(disk), "bind": place.host, "port": str(port), "replica-announce-ip": place.host}
        command = [str(self._program)] + [word for name, value in options.items() for word in (f"--{name}", value)]
        return [*command, "--replicaof", *settings[FOLLOWS].split()] if FOLLOWS in settings else command

    def environment(self) -> Mapping[str, str]:
        return {}

    def answers(self, place: layout.Place, address: Address) -> bool:
        with client(address) as one:
            return bool(one.ping())  # an error while it loads its data


def client(address: Address) -> "driver.Redis":
    return driver.Redis(address.host, address.port, socket_timeout=2, socket_connect_timeout=2)


def wait_until_in_sync(address: Address, waits: Waits) -> None:
    """Until the replica's link to its primary is up and the first transfer is over."""

    def link() -> dict[str, Any]:
        with client(address) as one:
            information: dict[str, Any] = one.info("replication")
            return information

    waits.until(
        f"the replica {address} to be in sync",
        link,
        within=SECONDS_TO_SYNC,
        ignoring=Server.transient,
        holds=lambda seen: seen.get("master_link_status") == "up" and not seen.get("master_sync_in_progress"),
    )


def change_port(at: Address, to: int) -> None:
    """Make the running server listen at another port of its address; what it holds and its connections stay."""
    with client(at) as one:
        one.config_set("port", to)
