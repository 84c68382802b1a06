"""The composition of faults by hand: one fault on a platform that somebody else runs, within guardrails, undone by whoever comes next.

The journal lies with the platform, so that another process, also after this one was killed, heals what this one has caused.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drplatform import environment
from drplatform.engine import capabilities, faulting, guardrails
from drplatform.environment import Environment, StopCondition, stopping
from drplatform.model import drill, errors, ports, powers
from drplatform.model.timeline import Timeline

JOURNAL = "faults.jsonl"
PERIOD = 0.2
DOWN = 3
"""A store counts as down after so many looks without an answer, one after another."""


@dataclass(frozen=True)
class Injected:
    """What was done: what the fault aimed at, and its receipt."""

    aim: powers.Aim
    effect: ports.FaultEffect


@contextmanager
def scene(env: Environment, platform_id: str | None, *wanted: ports.Fault) -> Iterator[ports.Scene]:
    """The scene of a platform made by hand, and of the cluster that was named, where the wanted or pending faults are of one."""
    platform = env.attached(platform_id)
    pending = (fault(entry.kind, entry.parameters) for entry in faulting.pending(platform.directory / JOURNAL))
    of_cluster = [f for f in (*wanted, *pending) if f"store:{drill.CLUSTER}" in f.needs()]
    stores = {**env.stores(platform), **(env.cluster(getattr(f, "namespace", "") for f in of_cluster) if of_cluster else {})}
    try:
        yield ports.Scene(platform, stores, env.clock, environment.repository(platform.vault(), env.clock))
    finally:
        for store in stores.values():
            store.close()


def fault(kind: str, parameters: Mapping[str, Any]) -> ports.Fault:
    """Raises SettingsError for parameters that the fault does not take."""
    make = environment.fault(kind)
    try:
        return make(**parameters)
    except TypeError as error:
        raise errors.SettingsError(
            f"The fault {kind} does not take these parameters ({error}); see: drplatform faults show {kind}"
        ) from error


def aim(found: ports.Fault, at: ports.Scene, guard: guardrails.Guard) -> powers.Aim:
    """What the fault would touch; touches nothing. Raises PlanError with everything that speaks against it."""
    missing = found.needs() - capabilities.offered(at.platform, at.stores, ())
    if missing:
        raise errors.PlanError(f"the fault {found.kind} needs {drill.told(missing)}, which this platform does not offer")
    assert isinstance(found, powers.Aimed)  # the conformance suite makes sure for each fault
    aimed = found.aim(at)
    guard.require(found.kind, aimed, _hosts(at), at.clock.utc(), _clusters(at))
    return aimed


def inject(env: Environment, found: ports.Fault, at: ports.Scene, guard: guardrails.Guard) -> Injected:
    """Cause the fault. It stays in effect until it is healed; when anything is not as it was to be, it is healed at once."""
    env.require_log()
    env.kill_switch().require_released()
    aimed = aim(found, at, guard)
    with env.recorded("fault", fault=found.kind, targets=list(aimed.targets[:50]), platform=at.platform.id) as noted:
        faults = faulting.Faulting(at, journal(at), env.clock, Timeline(env.clock), env.bound())
        try:
            effect = faults.inflict(found)
        except BaseException:
            faults.heal_all()
            raise
        noted["seen"] = effect.receipt.seen
    return Injected(aimed, effect)


def hold(env: Environment, at: ports.Scene, seconds: float, stop_when_down: tuple[str, ...], fails: Iterable[StopCondition] = ()) -> str:
    """Leave the fault in effect for so long, or until a stop condition, which is told: the kill switch, a store that does not answer, a command."""
    never, end, silent = threading.Event(), env.clock.monotonic() + seconds, dict.fromkeys(stop_when_down, 0)
    conditions, looked = tuple(fails), env.clock.monotonic()
    while env.clock.monotonic() < end:
        if env.kill_switch().pulled():
            return "the kill switch was pulled"
        for store in silent:
            silent[store] = 0 if _answers(at, store) else silent[store] + 1
            if silent[store] >= DOWN:
                return f"{store} does not answer any more"
        if env.clock.monotonic() - looked >= stopping.PERIOD:
            looked = env.clock.monotonic()
            if broken := next(filter(None, (one.broken() for one in conditions)), ""):
                return broken
        env.clock.wait(never, min(PERIOD, max(0.0, end - env.clock.monotonic())))
    return ""


def heal(env: Environment, at: ports.Scene) -> list[faulting.Entry]:
    """Heal what is pending on the platform, whoever caused it; the faults healed."""
    env.require_log()
    if not faulting.pending(journal(at)):
        return []
    with env.recorded("faults healed", platform=at.platform.id) as noted:
        healed = faulting.replay(journal(at), at, environment.fault, env.bound())
        noted["faults"] = [entry.kind for entry in healed]
    return healed


def heal_everywhere(env: Environment) -> list[faulting.Entry]:
    """Heal what is pending on every platform made by hand. All are attempted; raises FaultNotHealed when something remains."""
    healed, remaining = list[faulting.Entry](), list[str]()
    for status in env.statuses():
        if status.kind == "manual" and faulting.pending(status.directory / JOURNAL):
            with scene(env, status.id) as at:
                try:
                    healed += heal(env, at)
                except errors.DrplatformError as error:
                    remaining.append(f"platform {status.id}: {error}")
    if remaining:
        raise errors.FaultNotHealed(f"Not everything is healed: {'; '.join(remaining)}")
    return healed


def journal(at: ports.Scene) -> Path:
    return at.platform.directory / JOURNAL


def _hosts(at: ports.Scene) -> Iterator[str]:
    yield from (server.address.host for region in at.platform.regions for server in region.instances)
    yield from (address.host for store in at.stores.values() if isinstance(store, powers.Reached) for address in store.endpoint.addresses)
    if isinstance(at.platform, ports.Named) and at.platform.named:
        yield at.platform.names().address.host


def _clusters(at: ports.Scene) -> Iterator[guardrails.Place]:
    yield from (guardrails.Place(*place) for store in at.stores.values() if isinstance(store, powers.Clustered) for place in store.places())


def _answers(at: ports.Scene, store: str) -> bool:
    if store not in at.stores:
        raise errors.SettingsError(f"There is no store {store!r} here; known are {', '.join(at.stores)}.")
    try:
        at.stores[store].position()
    except errors.StoreError:
        return False
    return True
