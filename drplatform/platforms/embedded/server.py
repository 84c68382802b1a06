"""One server as an instance of a region: the same for all kinds; what differs (command line, readiness) is its recipe.

Keeps its state (which disk, which port, whom it follows) in a file, so that another process can attach to it.
"""

import json
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Protocol

from drplatform.model import errors
from drplatform.model.ports import Address
from drplatform.platforms.embedded import layout, skewing
from drplatform.platforms.embedded.links import Linked
from drplatform.platforms.embedded.powers import Hurtable
from drplatform.platforms.embedded.process import Pid, ServerProcess, Waits, accepts, free

SECONDS_TO_START = 30.0
SECONDS_TO_STOP = 10.0
STATE = "state.json"


@dataclass(frozen=True)
class State:
    """`generation` numbers its disks: a provisioned server begins a new one. `published`: listens at its public address, not the private.
    `settings` are the recipe's (whom it follows). `linked`: it was first started behind the proxy of its network.
    `fenced`: it must not serve as it is, so it does not start. `pid` is the process started last, `door` one that lets the public in to it.
    `skew`: by how many seconds its clock is wrong."""

    generation: int = 1
    published: bool = True
    fenced: bool = False
    linked: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    pid: Pid | None = None
    door: Pid | None = None
    skew: float = 0.0


class Recipe(Protocol):
    """What is particular to one kind of server."""

    def command(self, place: layout.Place, port: int, disk: Path, settings: Mapping[str, str]) -> list[str]:
        """The command line. May write files beside the disk first."""

    def environment(self) -> Mapping[str, str]:
        """What the process's environment holds beside the ordinary."""

    def answers(self, place: layout.Place, address: Address) -> bool:
        """Does it serve? May raise what is in `transient`."""

    transient: tuple[type[Exception], ...]


class Serving:
    """An Instance that can be killed and can lose its disk. `address` is the public one, also while it is private."""

    def __init__(
        self,
        place: layout.Place,
        directory: Path,
        recipe: Recipe,
        environment: Mapping[str, str],
        waits: Waits,
        within: Sequence[str] = (),
    ) -> None:
        """`within`: what is put before its command, to run it somewhere else."""
        self.name, self.kind, self.region = place.name, place.kind, place.region
        self.address = Address(place.host, place.ports[layout.PUBLIC])
        self.place, self._recipe, self._waits = place, recipe, waits
        self.directory = directory / place.name
        self._process = ServerProcess(place.name, self.directory, directory, environment, waits, within)
        self._door = ServerProcess(f"{place.name} (public)", self.directory, directory, environment, waits, within)
        self._state = self._read()
        self._process.pid, self._door.pid = self._state.pid, self._state.door

    # -- Instance, Killable, Erasable --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start and return when it answers. Raises StoreError with the end of its log when it does not come up, and when it is fenced."""
        if self._state.fenced:
            raise errors.StoreError(f"{self.name} is fenced: it may hold a history of its own. Let it rejoin, or resume it on purpose.")
        if not self._process.alive():
            self._door.kill()
            self._process.clear()
            self._disk.mkdir(mode=0o700, parents=True, exist_ok=True)
            port = self.listens_at.port
            self._waits.until(f"{self.listens_at} to be free for {self.name}", self._may_listen, within=SECONDS_TO_START)
            command = self._recipe.command(self.place, port, self._disk, self._state.settings)
            self._process.launch(command, self.surroundings())
            self._set(pid=self._process.pid)
        self._wait_until_it_answers()

    def stop(self) -> None:
        self._door.kill()
        self._process.terminate(SECONDS_TO_STOP)

    def kill(self) -> None:
        self._door.kill()
        self._process.kill()

    def running(self) -> bool:
        return self._process.alive() and accepts(self.listens_at)

    def erase(self) -> None:
        if self._process.alive():
            raise errors.StoreError(f"{self.name} runs; stop or kill it before its disk is erased.")
        if self._disk.exists():
            shutil.rmtree(self._disk)

    def stored_bytes(self) -> int:
        return sum(_size(file) for file in self._disk.rglob("*")) if self._disk.exists() else 0

    # -- what the platform does with it --------------------------------------------------------------------------------------------

    @property
    def listens_at(self) -> Address:
        return self.address if self._state.published else Address(self.address.host, self.place.ports[layout.PRIVATE])

    @property
    def begun(self) -> bool:
        """Whether it was ever started."""
        return self._state.pid is not None

    @property
    def generation(self) -> int:
        """How many disks it has had, this one counted."""
        return self._state.generation

    def fence(self) -> None:
        """Stop it, and let it not start by itself again."""
        self._set(fenced=True)
        self.stop()
        self._process.clear()

    @property
    def fenced(self) -> bool:
        return self._state.fenced

    def lift(self) -> None:
        """It may be started again. It is not."""
        self._set(fenced=False)

    def unfence(self, *, published: bool, settings: Mapping[str, str] | None = None) -> None:
        """Start it on the disk that it has, fenced or not, at its public or private address."""
        self.kill()
        self._set(fenced=False, published=published, settings=settings or {})
        self.start()

    def renew(self, *, published: bool, settings: Mapping[str, str] | None = None) -> None:
        """Give it a new, empty disk and start it there. The disk it had is kept aside."""
        self.kill()
        self._set(generation=self._state.generation + 1, skew=0.0, fenced=False, published=published, settings=settings or {})
        self.start()

    def configure(self, settings: Mapping[str, str]) -> None:
        """Settings for its recipe, from its next start on."""
        self._set(settings=settings)

    def move(self) -> None:
        """From now on it is at its public address: for a server that can do so while it runs, or is about to be started again."""
        self._set(published=True)

    def open_door(self, command: Sequence[str]) -> None:
        """Let the public in through a second process, for a server that cannot move without a restart. When started again, it needs none."""
        self._door.launch(command, self._recipe.environment())
        self._set(published=True, door=self._door.pid)
        self._wait_until_it_answers()

    def surroundings(self) -> Mapping[str, str]:
        """What the server's environment holds beside the ordinary."""
        return self._recipe.environment()

    def alive(self) -> bool:
        self._door.alive()  # takes its remains away
        return self._process.alive()

    def signal_kill(self) -> None:
        """SIGKILL without waiting for the end."""
        self._door.signal(signal.SIGKILL)
        self._process.signal(signal.SIGKILL)

    @property
    def _disk(self) -> Path:
        return self.directory / f"disk-{self._state.generation}"

    def _wait_until_it_answers(self) -> None:
        self._waits.until(
            f"{self.name} to answer at {self.listens_at}", self._answers, within=SECONDS_TO_START, ignoring=self._recipe.transient
        )

    def _may_listen(self) -> bool:
        """Whether nobody else has its port."""
        return True

    def _answers(self) -> bool:
        if not self._process.alive():
            raise errors.StoreError(f"{self.name} ended while it was starting; the end of its log: {self._process.last_words()}")
        return self._recipe.answers(self.place, self.listens_at)

    def _set(self, **changes: object) -> None:
        self._state = replace(self._state, **changes)  # type: ignore[arg-type]
        self.directory.mkdir(mode=0o700, exist_ok=True)
        fresh = self.directory / f"{STATE}.new"
        fresh.write_text(json.dumps(asdict(self._state)))
        fresh.replace(self.directory / STATE)

    def _read(self) -> State:
        try:
            read = json.loads((self.directory / STATE).read_text())
        except FileNotFoundError:
            return State()
        pids = {name: Pid(**read[name]) if read[name] else None for name in ("pid", "door")}
        return State(**{**read, **pids})


class Server(Serving, Hurtable, Linked):
    """One whose processes are on this machine, so that more can be done to it."""

    def surroundings(self) -> Mapping[str, str]:
        skew = self._state.skew
        return {**super().surroundings(), **(skewing.environment(skew, self.faketime()) if skew else {})}

    @property
    def skews(self) -> bool:
        return self.kind in skewing.KINDS and self.faketime() is not None

    def skew(self, seconds: float) -> None:
        self.stop()
        self._set(skew=seconds)
        self.start()

    def faketime(self) -> Path | None:
        """The library by which its clock can be wrong, where it runs; None: there is none."""
        return skewing.library()

    def _may_listen(self) -> bool:
        return free(self.listens_at)


def _size(file: Path) -> int:
    """A running server removes files while they are counted."""
    try:
        return file.lstat().st_size if file.is_file() else 0
    except FileNotFoundError:
        return 0
