"""The note of a move between regions that is under way: written before its first step, removed after its last, so that another process can
bring it to its end when the one that began it was killed.
"""

import fcntl
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from drplatform.engine import failover, naming
from drplatform.engine.kit import Kit
from drplatform.engine.watch import DirectWatch
from drplatform.engine.workload import User
from drplatform.model import errors, whole
from drplatform.model.replication import Replication
from drplatform.model.timeline import Timeline

FAILOVER, SWITCHOVER, REJOIN = "failover", "switchover", "rejoin"


@dataclass(frozen=True)
class Move:
    """`source` served when it was begun; `region` takes over, or comes back (REJOIN). `begun` in UTC, ISO 8601.

    `saved`: the stores of which what the region alone had is in the vault, so that its disks may be given up (REJOIN).
    """

    what: str
    source: str
    region: str
    begun: str
    saved: tuple[str, ...] = ()


_UNDER_WAY = "A move between regions was begun and not ended; bring it to its end first: drplatform failover resume"


class Note:
    """At most one move at a time: it is changed by who is `alone`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else moves meanwhile. Raises SettingsError when somebody does: a process that lives, not one that was killed."""
        with self._file.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise errors.SettingsError("Another process makes a move between regions now; wait for it, or end that process.") from None
            yield

    def begin(self, move: Move) -> None:
        """Durable on return. Raises SettingsError while another move is under way."""
        if self.unfinished():
            raise errors.SettingsError(_UNDER_WAY)
        self.put(move)

    def save(self, store: str) -> None:
        """What the region alone had of the store is saved: it is not looked for again by who resumes this move. Durable on return."""
        with self._lock:
            move = self._read()
            self.put(replace(move, saved=(*move.saved, store)))

    def put(self, move: Move) -> None:
        """In the place of the one that is noted, if any. Durable on return."""
        whole.write(self._file, json.dumps(asdict(move)))

    def unfinished(self) -> Move | None:
        """The move that was begun and not ended. A torn note is of a move of which no step was done: it is taken away."""
        try:
            return self._read()
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            self.end()
            return None

    def end(self) -> None:
        self._file.unlink(missing_ok=True)
        whole.sync_directory(self._file.parent)

    def _read(self) -> Move:
        noted = Move(**json.loads(self._file.read_text()))
        return replace(noted, saved=tuple(noted.saved))


FILE = "moving.json"
Recorded = Callable[..., AbstractContextManager[dict[str, Any]]]


class Moving:
    """Moves by hand: each is noted before it begins, and recorded. `recorded` notes an operation, its beginning and its end."""

    def __init__(
        self,
        kit: Kit,
        timeline: Timeline,
        stores: tuple[str, ...],
        approve: Callable[[Mapping[str, float | None]], bool],
        recorded: Recorded,
    ) -> None:
        self._kit, self._recorded, self._approve, self._note = kit, recorded, approve, Note(kit.directory / FILE)
        unfinished = self._note.unfinished()
        self.serving = unfinished.source if unfinished else failover.serving(kit, stores)
        watch = DirectWatch(self._user, kit.clock, f"failover-{kit.clock.utc():%Y%m%dT%H%M%S%f}")
        self._regions = failover.Regions(kit, timeline, watch, stores, self.serving, lambda costs: True)

    def fail_over(self, region: str) -> None:
        """Noted when it is decided: what is resumed was decided. Raises SettingsError when a failover is under way, or it is not approved.

        A planned move that was cut off gives way: a region may be lost in the middle of it, and then it has no end. Of a switchover
        either region may take over.
        """
        with self._note.alone():
            unfinished = self._note.unfinished()
            if unfinished and unfinished.what == FAILOVER:
                raise errors.SettingsError(_UNDER_WAY)
            if unfinished and unfinished.what == SWITCHOVER and region == unfinished.source:
                self.serving = self._regions.serving = unfinished.region
            self._require_other(region)
            self.name_all()
            move = self._move(FAILOVER, region)
            self._regions.approve = lambda costs: self._decided(move, costs)
            self._run(move)

    def switch_over(self, region: str) -> None:
        self._require_other(region)
        with self._note.alone():
            self.name_all()
            self._do(SWITCHOVER, region)

    def rejoin(self, region: str) -> None:
        self._require_other(region)
        with self._note.alone():
            self._do(REJOIN, region)

    def resume(self) -> Move | None:
        """Bring the move that was cut off to its end; None when there is none."""
        with self._note.alone():
            if unfinished := self._note.unfinished():
                self._run(unfinished, resumed=True)
            return unfinished

    def states(self) -> list[Replication]:
        """Of the stores that replicate by themselves."""
        return [self._regions.state(s) for s in self._regions.stores if self._regions.replicates(s)]

    def close(self) -> None:
        self._regions.close()

    def _do(self, what: str, region: str) -> None:
        move = self._move(what, region)
        self._note.begin(move)
        self._run(move)

    def _move(self, what: str, region: str) -> Move:
        return Move(what, self.serving, region, self._kit.clock.utc().isoformat())

    def _decided(self, move: Move, costs: Mapping[str, float | None]) -> bool:
        approved = self._approve(costs)
        if approved:
            self._note.put(move)
        return approved

    def _run(self, move: Move, *, resumed: bool = False) -> None:
        with self._recorded(move.what, source=move.source, region=move.region, resumed=resumed):
            if move.what == FAILOVER:
                self._regions.fail_over(move.region, resumed=resumed)
            elif move.what == SWITCHOVER:
                self._regions.switch_over(move.region)
                self._regions.turn_round(move.source, followed=False)
            else:
                self._regions.rejoin(move.region, followed=False, saved=failover.Saved(move.saved, self._note.save))
        self._note.end()
        self.serving = self._regions.serving

    def _require_other(self, region: str) -> None:
        names = [r.name for r in self._kit.platform.regions]
        if region not in names or region == self.serving:
            others = ", ".join(n for n in names if n != self.serving)
            raise errors.SettingsError(f"The {self.serving} region serves; name another: {others}.")

    def name_all(self) -> None:
        """Public names that were never set point to where the stores are served."""
        for store in failover.named(self._kit, self._regions.stores):
            assert self._kit.traffic
            try:
                self._kit.traffic.lookup(store)
            except errors.StoreError:
                self._kit.traffic.point(store, self._kit.platform.endpoint(self._kit.policy.stores[store].kind).addresses)

    def _user(self, store: str) -> User:
        if failover.named(self._kit, (store,)):
            return naming.public(self._kit, store)
        return self._kit.connect(self._kit.platform.endpoint(self._kit.policy.stores[store].kind))
