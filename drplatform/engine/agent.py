"""The agent: captures logs, runs the policy's schedule, watches, and alerts, until it is told to stop. For those without CronJobs.

Whatever fails is told, counted, and tried again; one thread a store, one for the schedule, one for the watch.
"""

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from drplatform.engine import backups, leases, monitor
from drplatform.engine.alerting import Alerting
from drplatform.engine.backups.catalogue import Listing
from drplatform.engine.capturing import Capturing
from drplatform.engine.leases import TERM, Lease
from drplatform.engine.replicating import Replicating
from drplatform.engine.schedule import Job
from drplatform.model import errors, monitoring, ports
from drplatform.model.backup import BackupKind
from drplatform.model.clock import Clock
from drplatform.model.monitoring import Observed
from drplatform.model.policy import Policy
from drplatform.model.replication import Replication

WATCH_SECONDS = 15.0
AGAIN_SECONDS = (1.0, 5.0, 15.0, 60.0)
"""Pauses before something that failed is tried again; the last one from then on."""
SECONDS_TO_END = 120.0
PAUSE_SECONDS = 2.0
LOOK_SECONDS = 60.0
"""How often it is looked whether somebody else has done a job that is due."""

Tell = Callable[[str], object]


@dataclass(frozen=True)
class Replica:
    """A store that another, at the address `primary`, is replicated into."""

    store: ports.DataStore
    primary: str
    address: str


@dataclass(frozen=True)
class Duties:
    """What the agent does and with what. `perform` carries out one scheduled job and raises what goes wrong.

    `records` reads the audit log. `holder` tells this process from any other.
    """

    policy: Policy
    stores: Mapping[str, ports.DataStore]
    captured: Mapping[str, BackupKind]
    jobs: Sequence[Job]
    perform: Callable[[Job], object]
    repository: ports.Repository
    recipients: Sequence[str]
    clock: Clock
    random: random.Random
    alerting: Alerting
    records: Callable[[], Sequence[Mapping[str, object]]]
    holder: str
    tell: Tell
    capacity: int | None = None
    expiries: Callable[[], Mapping[str, datetime]] = dict
    """When certificates and keys end to be good, by what they are; UNREADABLE for what cannot be read."""
    watch_seconds: float = WATCH_SECONDS
    replicas: Mapping[str, Replica] = field(default_factory=dict)


@dataclass
class _Following:
    """One capture: `service` while it runs, `problem` what it ended with last."""

    service: Capturing | None = None
    problem: str = "it has not begun"


@dataclass
class Agent:
    """`run` returns when `stop` is set; what came until then is sealed."""

    duties: Duties
    stop: threading.Event = field(default_factory=threading.Event)
    observed: Observed | None = None
    failures: dict[str, int] = field(default_factory=dict)
    performed: dict[str, int] = field(default_factory=dict)
    _captures: dict[str, _Following] = field(default_factory=dict)
    _replicating: dict[str, Replicating] = field(default_factory=dict)
    _listing: Listing | None = None
    _looked: float | None = None
    _done: dict[str, datetime] = field(default_factory=dict)
    _started: datetime | None = None

    def run(self) -> None:
        self._started = self.duties.clock.utc()
        self._captures = {store: _Following() for store in self.duties.captured}
        bodies: list[tuple[str, Callable[[], None]]] = [(f"capture {s}", lambda s=s: self._capture(s)) for s in self._captures]  # type: ignore[misc]
        bodies += [(job.name, lambda job=job: self._schedule(job)) for job in self.duties.jobs if not job.is_continuous]  # type: ignore[misc]
        bodies += [(f"replicate {s}", lambda s=s: self._replicate(s)) for s in self.duties.replicas]  # type: ignore[misc]
        bodies.append(("watch", self._watch))
        threads = [threading.Thread(target=self._kept_up, args=body, name=body[0], daemon=True) for body in bodies]
        for thread in threads:
            thread.start()
        self.stop.wait()
        for thread in threads:
            thread.join(SECONDS_TO_END)

    def healthy(self) -> str:
        """Empty when it works; else what does not. The watch must have looked lately, and every capture must run."""
        if self._looked is None:
            return "starting"
        silent = self.duties.clock.monotonic() - self._looked
        if silent > 4 * self.duties.watch_seconds + 60:
            return f"the watch has not looked for {silent:.0f} s"
        down = [f"{store}: {c.problem}" for store, c in self._captures.items() if c.problem]
        return "; ".join(down)

    # -- what its threads do ----------------------------------------------------------------------------------------------------

    def _kept_up(self, name: str, body: Callable[[], None]) -> None:
        """Do it until we stop; when it fails, tell, wait, and do it again."""
        failed = 0
        while not self.stop.is_set():
            began = self.duties.clock.monotonic()
            try:
                body()
            except Exception as error:  # noqa: BLE001  the body of a thread: told, counted, tried again
                failed = 1 if self.duties.clock.monotonic() - began > 2 * AGAIN_SECONDS[-1] else failed + 1
                self._failed(name, error)
                self.duties.clock.wait(self.stop, AGAIN_SECONDS[min(failed, len(AGAIN_SECONDS)) - 1])

    def _failed(self, name: str, error: Exception) -> None:
        self.failures[name] = self.failures.get(name, 0) + 1
        words = str(error) if isinstance(error, errors.DrplatformError) else f"{type(error).__name__}: {error}"
        store = name.removeprefix("capture ")
        if store in self._captures:
            self._captures[store] = _Following(problem=words)
        self.duties.tell(f"{name}: {words}")

    def _capture(self, store: str) -> None:
        d = self.duties
        with self._leased(f"capture-{store}") as ended:
            if ended is None:
                self._captures[store] = _Following(problem="")
                return
            service = Capturing(d.stores[store], d.captured[store], d.repository, d.recipients, d.clock, d.random, d.tell)
            self._captures[store] = _Following(service, "")
            service.run(ended)

    def _replicate(self, store: str) -> None:
        d = self.duties
        with self._leased(f"replicate-{store}") as ended:
            if ended is None:
                self._replicating.pop(store, None)
                return
            self._replicating[store] = Replicating(d.stores[store], d.replicas[store].store, d.clock, d.tell)
            self._replicating[store].run(ended)

    @contextmanager
    def _leased(self, name: str) -> Iterator[threading.Event | None]:
        """While we hold the lease of that name: what is set when we must end. None, after a pause, when another agent does it in our place."""
        d = self.duties
        lease = Lease(name, d.holder, d.repository, d.clock)
        if not lease.acquire():
            yield None
            d.clock.wait(self.stop, TERM.total_seconds() / 3)
            return
        ended = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(lease, ended), name=f"lease {name}", daemon=True)
        keeper.start()
        try:
            yield ended
        finally:
            ended.set()
            keeper.join(SECONDS_TO_END)
            lease.release()

    def _keep(self, lease: Lease, ended: threading.Event) -> None:
        """Renew the lease until the capture ends, or we stop; a lease that is lost ends the capture."""
        while not ended.is_set() and not self.stop.is_set():
            try:
                held = lease.acquire()
            except errors.DrplatformError as error:
                self.duties.tell(f"{lease.name}: {error}")
                held = True  # the vault does not answer: nobody else can take the lease either, and nothing can be sealed
            if not held:
                self.duties.tell(f"{lease.name}: another agent has taken over.")
                break
            self._pause(ended, TERM.total_seconds() / 3)
        ended.set()

    def _pause(self, ended: threading.Event, seconds: float) -> None:
        """Until one of the two is set, or so long."""
        until = self.duties.clock.monotonic() + seconds
        while self.duties.clock.monotonic() < until and not self.stop.is_set() and not self.duties.clock.wait(ended, PAUSE_SECONDS):
            pass

    def _schedule(self, job: Job) -> None:
        """Do the job's last time, unless that is done or being done; else wait for the next. What fails, or was broken off, is tried again."""
        clock, stop = self.duties.clock, self.stop
        due = monitor.last_due(job.schedule, clock.utc())
        after = monitor.next_due(job.schedule, due)
        if not self._owed(job, due):
            clock.wait(stop, min((after - clock.utc()).total_seconds(), LOOK_SECONDS))
            return
        with self._leased(_at(job, due)) as ended:
            if ended is not None:
                self.duties.perform(job)
                leases.Lease(_at(job, due), self.duties.holder, self.duties.repository, clock).close(after + (after - due))
                self._done[job.name] = due
                self.performed[job.name] = self.performed.get(job.name, 0) + 1
                leases.forget(self.duties.repository, _at(job, due))

    def _owed(self, job: Job, due: datetime) -> bool:
        """What was due before anything was ever backed up here is not made up for. Nothing is owed until the watch has looked."""
        listing, began = self._listing, self._started
        if listing is None or began is None or self._done.get(job.name) == due:
            return False
        return due >= _began(listing, began)

    def _watch(self) -> None:
        self.look()
        self.duties.clock.wait(self.stop, self.duties.watch_seconds)

    def look(self) -> Observed:
        """Observe, and tell of what begins and ends to be wrong."""
        d = self.duties
        self._listing = backups.Catalogue(d.repository).read()
        now = d.clock.utc()
        self.observed = monitor.observe(
            d.records(),
            self._listing,
            self._seen(),
            d.policy,
            d.stores,
            now,
            _began(self._listing, now),
            d.capacity,
            self._replications(),
            d.expiries(),
        )
        d.alerting.update(monitoring.alerts(self.observed, d.policy), now)
        self._looked = d.clock.monotonic()
        return self.observed

    def _replications(self) -> list[Replication]:
        """Of the stores that replicate by themselves, whose endpoint names more than one server, and of those that we replicate."""
        replicated = [s for s in self.duties.stores.values() if isinstance(s, ports.Replicated)]
        found = [store.replication() for store in replicated]
        replicas = self.duties.replicas
        ours = [service.seen(replicas[s].primary, replicas[s].address) for s, service in self._replicating.items()]
        return [*(one for one in found if len(one.members) > 1), *ours]

    def _seen(self) -> list[monitoring.Capture]:
        return [
            monitoring.Capture(store, c.service.behind() if c.service and c.service.capture else (None if c.problem else 0.0), c.problem)
            for store, c in self._captures.items()
        ]


def _at(job: Job, due: datetime) -> str:
    """A job is done once at each of its times, whichever agent does it."""
    return f"job-{job.name}-{due:%Y%m%dT%H%M}"


def _began(listing: Listing, now: datetime) -> datetime:
    """Backups that were due before the first one was taken are not missed."""
    return min((m.started for m in listing.manifests), default=now)
