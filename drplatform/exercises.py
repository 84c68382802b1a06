"""The composition of what is done with drills beside running them: runbooks, reviews, histories. Names edges, as `environment` does."""

import hashlib
import random
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from drplatform import environment
from drplatform.engine import gameday, handbook, phrases
from drplatform.engine.drill import Drill
from drplatform.engine.kit import Keys, Kit
from drplatform.environment import Environment
from drplatform.model import compliance, errors, gate, history, instructions, ports
from drplatform.model import coverage as matrices
from drplatform.platforms.memory import MemoryPlatform
from drplatform.reports import allure_html
from drplatform.repositories.memory import MemoryRepository


def books(env: Environment) -> tuple[instructions.Book, ...]:
    """The runbook of every store, of services, cluster and moves between regions, read from the steps that are run. Starts nothing."""
    kit = _reading_kit(env)
    moved = tuple(name for name, store in env.policy.stores.items() if store.kind in MOVED)
    return (*handbook.books(kit, env.policy.stores), *handbook.more_books(kit, moved))


def _reading_kit(env: Environment) -> Kit:
    """A kit to read steps from: a platform of objects with the policy's stores, and nothing behind them."""
    kinds = tuple(dict.fromkeys(store.kind for store in env.policy.stores.values()))
    return Kit(
        platform=_Paper(Path(), kinds, tuple(service.name for service in env.policy.services)),
        stores={name: _paper_store(store.kind) for name, store in env.policy.stores.items()},
        traffic=_Names(),
        repository=MemoryRepository(env.clock),
        keys=Keys((), ()),
        connect=lambda endpoint: environment.connect(endpoint, env.clock),
        faults=environment.fault,
        policy=env.policy,
        clock=env.clock,
        random=random.Random(env.seed),
        directory=Path(),
        operator=env.settings.operator,
        versions={},
    )


MOVED = ("mongodb", "redis", "files")
"""The kinds of stores that move between regions."""
REPLICATING = ("mongodb", "redis")
"""Those whose servers replicate among themselves."""


def _never(*arguments: Any, **more: Any) -> Any:
    raise AssertionError("steps are only read here, not followed")


class _Paper(MemoryPlatform):
    """Two regions with services in both, to read steps from. Nothing is ever done to it."""

    def __init__(self, directory: Path, kinds: tuple[str, ...], services: tuple[str, ...]) -> None:
        super().__init__(directory, kinds)
        self._services = services

    def services(self, region: str) -> dict[str, Any]:
        return dict.fromkeys(self._services)

    def endpoint_in(self, region: str, kind: str) -> ports.Endpoint:
        return self.endpoint(kind)

    serve_from = isolate = resume = deploy = stand_by = _never


class _Store:
    """A store that moves with its region by a follower, to read steps from."""


class _Replicating(_Store):
    """ports.Replicated, to read steps from."""

    replication = promote = hand_over = _never


def _paper_store(kind: str) -> Any:
    return _Replicating() if kind in REPLICATING else _Store()


class _Names:
    """ports.Traffic, to read steps from."""

    ttl = 0.0
    point = lookup = close = _never


def past(env: Environment) -> tuple[history.Point, ...]:
    """Every measurement in this machine's audit log. Raises IntegrityError when the log was tampered with."""
    return history.points(env.verified_log())


def drill_record(env: Environment, drill: str) -> Mapping[str, Any]:
    """The record of the drill in the audit log; `latest` is the newest. Raises SettingsError."""
    found = history.evidence(env.verified_log())
    chosen = found[-1:] if drill == "latest" else [r for r in found if r["id"] == drill]
    if not chosen:
        raise errors.SettingsError(f"No drill {drill!r} is in the audit log {env.audit.path}; the evidence's file name is the drill's id.")
    return chosen[0]


@contextmanager
def game_day(env: Environment, person: gameday.Person, within: float) -> Iterator[tuple[gameday.GameDay, Drill]]:
    """A game day on a platform of its own, ready to be played. The disaster strikes at most `within` seconds after the person may look."""
    incident = gameday.draw(env.random(), within)
    incident = replace(incident, fault=phrases.with_needs([incident.fault], environment.fault)[0])
    day = gameday.GameDay(incident, person, env.clock)
    with env.drill(gameday.scenario(incident), day.listen) as running:
        yield day, running


def coverage(env: Environment) -> matrices.Matrix:
    """What the drills in the audit log have tested of all that the faults here may do."""
    faults = {kind: stores for kind in environment.fault_kinds() if (stores := _hurt_by(kind))}
    return matrices.matrix(faults, env.verified_log(), env.policy, env.clock.utc())


def _hurt_by(kind: str) -> tuple[str, ...]:
    """The stores that a fault hurts when nothing is said; those of the vault and of backups hurt backups."""
    try:
        found = sorted(environment.fault(kind)().affects())
    except TypeError:  # it must be told something
        found = []
    return tuple(found) or ("backups",)


def proposal(cell: matrices.Cell) -> str:
    """Which drill would test the cell, and how to begin it."""
    words = {
        "backups": "recovery from backups",
        "point in time": "a recovery to just before it",
        "one moment": "a recovery of all stores as of one moment",
        "restart": "healing it and starting what died",
        "failover": "a failover to the other region",
        "detection": "a check that it is found before anything is restored",
    }
    return f"cause {cell.fault} on {cell.store}, then {words.get(cell.recovery, cell.recovery)}; `drplatform steps` has the sentences"


def gate_items(env: Environment, assessment: compliance.Assessment, newest: int) -> list[gate.Item]:
    """All that the gate looks at, but for what is required by name."""
    return [
        *gate.clauses(assessment),
        *gate.drills(assessment),
        *gate.regressions(past(env), newest),
        *gate.coverage(coverage(env)),
    ]


def targets_beside_worst(env: Environment) -> list[dict[str, Any]]:
    """For a review of the targets: each (seconds), and by platform the worst that any drill under today's policy measured."""
    worst: dict[tuple[str, str], dict[str, float]] = {}
    for record in history.evidence(env.verified_log()):
        for m in record["measurements"] if record["policy"]["hash"] == env.policy.hash else ():
            if m["upper"] is not None:
                of = worst.setdefault((m["name"], m["subject"]), {})
                of[record["platform"]] = max(m["upper"], of.get(record["platform"], 0.0))
    return [
        {"name": name, "store": store, "target": target(store), "worst": worst.get((name, store), {})}
        for name, target in (("rto", env.policy.rto), ("rpo", env.policy.rpo))
        for store in env.policy.stores
    ]


REPORTED = "compliance report"


def note_report(env: Environment, files: Iterable[Path]) -> None:
    """Note in the audit log what the report's files hold, by SHA-256, so that a change of any byte is found later."""
    env.record_operation(REPORTED, files={file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files})


def verify_report(env: Environment) -> list[str]:
    """The files of the newest report, verified. Raises IntegrityError naming the first that is not as it was written, SettingsError without a report."""
    noted = [r for r in env.verified_log() if r.get("kind") == REPORTED]
    if not noted:
        raise errors.SettingsError("No compliance report is in the audit log; make one with: drplatform compliance report")
    for name, digest in noted[-1]["files"].items():
        file = env.settings.reports / name
        if not file.is_file():
            raise errors.SettingsError(f"{file} is not there; name the directory of the report with --reports.")
        if hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            raise errors.IntegrityError(f"{file} is not as it was written on {noted[-1]['when'][:10]}: it was changed since. Make it anew.")
    return list(noted[-1]["files"])


def allure_command() -> str:
    """The command of Allure on PATH. Raises SettingsError saying how to get one."""
    found = shutil.which("allure")
    if not found:
        raise errors.SettingsError(allure_html.HOW)
    return found
