"""The composition of what is done with drills beside running them: runbooks, reviews, histories. Names edges, as `environment` does."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from drplatform import environment
from drplatform.engine import gameday, handbook, phrases
from drplatform.engine.drill import Drill
from drplatform.engine.kit import Keys, Kit
from drplatform.environment import Environment
from drplatform.model import errors, history, instructions
from drplatform.platforms.memory import MemoryPlatform
from drplatform.repositories.memory import MemoryRepository


def books(env: Environment) -> tuple[instructions.Book, ...]:
    """The runbook of every store of the policy, read from the steps that recover it. Starts nothing."""
    return handbook.books(_reading_kit(env), env.policy.stores)


def _reading_kit(env: Environment) -> Kit:
    """A kit to read steps from: a platform of objects with the policy's stores, and nothing behind them."""
    kinds = tuple(dict.fromkeys(store.kind for store in env.policy.stores.values()))
    return Kit(
        platform=MemoryPlatform(Path(), kinds),
        stores={},
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
