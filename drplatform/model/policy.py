"""The written policy: objectives, stores, backup schedules and retention, drills, services.

Parsed strictly from a plain document (a mapping, as YAML gives it): unknown keys, missing keys and wrong values are all reported at once,
each with its path. Knows nothing of files.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from drplatform.model import errors
from drplatform.model.backup import SCHEDULABLE, BackupKind
from drplatform.model.reading import Reader

TIERS = ("critical", "non-critical")
DATA_CLASSES = ("database", "files", "configuration")
CADENCES = ("monthly", "quarterly", "biannual")
CONTINUOUS = "continuous"
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Objectives:
    """Targets in seconds: recovery time by tier, recovery point by data class. Met by values below them."""

    rto: Mapping[str, float]
    rpo: Mapping[str, float]


@dataclass(frozen=True)
class ProtectedStore:
    """A store of the platform: its kind, and what its recovery is held against."""

    name: str
    kind: str
    tier: str
    data_class: str


@dataclass(frozen=True)
class BackupRule:
    """What is backed up, when (a cron expression in UTC, or `continuous`) and how long it is kept (seconds)."""

    store: str
    kind: BackupKind
    schedule: str
    retention: float


@dataclass(frozen=True)
class DrillRule:
    """A drill that must pass once in every cadence."""

    name: str
    cadence: str


@dataclass(frozen=True)
class Service:
    """A service and the services and stores that it needs before it can work."""

    name: str
    tier: str
    depends_on: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    name: str
    objectives: Objectives
    stores: Mapping[str, ProtectedStore]
    backups: tuple[BackupRule, ...]
    drills: tuple[DrillRule, ...]
    services: tuple[Service, ...]
    hash: str

    def rto(self, store: str) -> float:
        """The recovery time target of the store, in seconds."""
        return self.objectives.rto[self.stores[store].tier]

    def rpo(self, store: str) -> float:
        """The recovery point target of the store, in seconds."""
        return self.objectives.rpo[self.stores[store].data_class]

    def service_order(self) -> tuple[tuple[str, ...], ...]:
        """Services in groups: each group needs only the groups before it (and stores). Raises PolicyError for a circle."""
        waiting = {s.name: {d for d in s.depends_on if d not in self.stores} for s in self.services}
        order = []
        while waiting:
            ready = tuple(sorted(name for name, needs in waiting.items() if not needs & waiting.keys()))
            if not ready:
                raise errors.PolicyError(f"services: {', '.join(sorted(waiting))} wait for each other")
            order.append(ready)
            waiting = {name: needs for name, needs in waiting.items() if name not in ready}
        return tuple(order)


def duration(text: object) -> float:
    """Seconds of `90s`, `5m`, `1h`, `30d`. Raises ValueError otherwise."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", str(text).strip())
    if not match or float(match[1]) <= 0:
        raise ValueError(f"expected a duration such as 90s, 5m, 1h or 30d, not {text!r}")
    return float(match[1]) * _UNITS[match[2]]


def parse(document: object) -> Policy:
    """The policy in the document. Raises PolicyError with every problem found."""
    reader = Reader()
    root = reader.mapping(document, "policy", {"name", "objectives", "stores", "backups", "drills", "services"})
    stores = {name: _store(reader, name, body) for name, body in reader.mapping(root.get("stores"), "stores").items()}
    objectives = _objectives(reader, root.get("objectives"))
    backups = tuple(_backup(reader, i, body, stores) for i, body in enumerate(reader.sequence(root.get("backups"), "backups")))
    drills = tuple(_drill(reader, i, body) for i, body in enumerate(reader.sequence(root.get("drills"), "drills")))
    services = tuple(_service(reader, i, body) for i, body in enumerate(reader.sequence(root.get("services"), "services")))
    name = reader.text(root, "name", "policy")
    _check_references(reader, stores, services)
    if reader.problems:
        raise errors.PolicyError(reader.problems)
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), default=str).encode()
    return Policy(name, objectives, stores, backups, drills, services, hashlib.sha256(canonical).hexdigest())


def _objectives(reader: Reader, body: object) -> Objectives:
    root = reader.mapping(body, "objectives", {"rto", "rpo"})
    rto = reader.mapping(root.get("rto"), "objectives.rto", set(TIERS))
    rpo = reader.mapping(root.get("rpo"), "objectives.rpo", set(DATA_CLASSES))
    return Objectives(
        {tier: reader.value(rto, tier, "objectives.rto", duration, 1.0) for tier in TIERS},
        {data: reader.value(rpo, data, "objectives.rpo", duration, 1.0) for data in DATA_CLASSES},
    )


def _store(reader: Reader, name: str, body: object) -> ProtectedStore:
    path = f"stores.{name}"
    root = reader.mapping(body, path, {"kind", "tier", "data_class"})
    return ProtectedStore(
        name,
        reader.text(root, "kind", path),
        reader.choice(root, "tier", path, TIERS),
        reader.choice(root, "data_class", path, DATA_CLASSES),
    )


def _backup(reader: Reader, index: int, body: object, stores: Mapping[str, ProtectedStore]) -> BackupRule:
    path = f"backups[{index}]"
    root = reader.mapping(body, path, {"store", "kind", "schedule", "retention"})
    kind = reader.choice(root, "kind", path, tuple(k.value for k in SCHEDULABLE))
    return BackupRule(
        reader.choice(root, "store", path, tuple(stores)),
        BackupKind(kind) if kind in set(BackupKind) else BackupKind.FULL,
        reader.value(root, "schedule", path, _schedule, ""),
        reader.value(root, "retention", path, duration, 1.0),
    )


def _drill(reader: Reader, index: int, body: object) -> DrillRule:
    path = f"drills[{index}]"
    root = reader.mapping(body, path, {"name", "cadence"})
    return DrillRule(reader.text(root, "name", path), reader.choice(root, "cadence", path, CADENCES))


def _service(reader: Reader, index: int, body: object) -> Service:
    path = f"services[{index}]"
    root = reader.mapping(body, path, {"name", "tier", "depends_on"})
    needs = reader.sequence(root.get("depends_on", []), f"{path}.depends_on")
    return Service(reader.text(root, "name", path), reader.choice(root, "tier", path, TIERS), tuple(map(str, needs)))


_CRON_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def _schedule(value: object) -> str:
    """A five-field cron expression of numbers, `*`, ranges, lists and steps, or `continuous`."""
    text = str(value).strip()
    fields = text.split()
    if text != CONTINUOUS and not (len(fields) == 5 and all(map(_cron_field, fields, _CRON_RANGES))):
        raise ValueError(f"expected five cron fields or {CONTINUOUS!r}, not {value!r}")
    return text


def _cron_field(field: str, bounds: tuple[int, int]) -> bool:
    for item in field.split(","):
        match = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/([1-9]\d*))?", item)
        numbers = [int(n) for n in match.groups()[:2] if n is not None] if match else []
        if not match or any(not bounds[0] <= n <= bounds[1] for n in numbers) or numbers != sorted(numbers):
            return False
    return True


def _check_references(reader: Reader, stores: Mapping[str, ProtectedStore], services: tuple[Service, ...]) -> None:
    known = {*stores, *(service.name for service in services)}
    for service in services:
        for needed in service.depends_on:
            if needed not in known:
                reader.problems.append(f"services.{service.name}: depends on {needed!r}, which is neither a service nor a store")
    if cycle := _cycle({s.name: [d for d in s.depends_on if d not in stores] for s in services}):
        reader.problems.append("services: they depend on each other in a circle: " + " -> ".join(cycle))


def _cycle(needs: Mapping[str, list[str]]) -> list[str]:
    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        return next((found for d in needs.get(name, []) if (found := walk(d, [*path, name]))), [])

    return next((found for name in needs if (found := walk(name, []))), [])
