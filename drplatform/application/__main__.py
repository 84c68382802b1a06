"""Runs one service of the reference application until it is asked to end (SIGTERM, SIGINT). Keys are in the settings file only.

python -m drplatform.application api --listen 127.0.0.1:8080 --settings api.json
"""

import argparse
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from drplatform.application import clients, roles, settings, web
from drplatform.model import errors
from drplatform.model.ports import Address
from drplatform.model.services import ROLES


def main(arguments: Sequence[str]) -> int:
    told = _told(arguments)
    try:
        return run(told.role, settings.address(told.listen), told.settings)
    except errors.DrplatformError as error:
        sys.stderr.write(f"drplatform.application: {error}\n")
        return error.exit_code
    except (OSError, ValueError) as error:
        sys.stderr.write(f"drplatform.application: It cannot listen at {told.listen!r} ({error}); say HOST:PORT of this machine.\n")
        return 2


def run(name: str, at: Address, file: Path) -> int:
    """Serve until a signal; then answer what is being asked, end the work, and return."""
    found = settings.read(file)
    reached = clients.connect(found.stores)
    role = roles.make(name, found, reached)
    server = web.Server(at, role.routes)
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    work = _Work(role.work, ending, server.stop) if role.work else None
    if work:
        work.start()
    try:
        server.serve()
    finally:
        ending.set()
        if work:
            work.join()
        reached.close()
    return 1 if work and work.failed else 0


class _Work(threading.Thread):
    """The service's own work. Without it the service is none, so an error nobody foresaw ends the service."""

    def __init__(self, work: roles.Work, ending: threading.Event, give_up: Callable[[], None]) -> None:
        super().__init__(name="work")
        self._work, self._ending, self._give_up = work, ending, give_up
        self.failed = False

    def run(self) -> None:
        try:
            self._work(self._ending)
        except Exception:  # noqa: BLE001  a thread's body
            traceback.print_exc()
            self.failed = True
            self._give_up()


def _told(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("drplatform.application", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("--listen", required=True, metavar="HOST:PORT")
    parser.add_argument("--settings", required=True, type=Path, metavar="FILE", help="a JSON file, readable by the service alone")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
