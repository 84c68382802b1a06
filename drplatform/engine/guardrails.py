"""What keeps faults within bounds: limits on what they may touch, where they may be caused, and a lease for where they otherwise may not.

Pure: is told what a fault aims at, where, and the time; raises before anything is touched.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatch
from typing import Any

from drplatform.model import errors, powers

LOOPBACK = ("127.*", "::1", "localhost")


@dataclass(frozen=True)
class Lease:
    """Somebody's leave to cause these faults where production is, until then."""

    by: str
    hosts: tuple[str, ...]
    faults: tuple[str, ...]
    until: datetime

    @classmethod
    def parse(cls, document: Any) -> "Lease":
        """Raises SettingsError for a lease that does not say by whom, where, what and until when."""
        try:
            until = document["until"] if isinstance(document["until"], datetime) else datetime.fromisoformat(str(document["until"]))
            if until.tzinfo is None:
                raise ValueError("`until` needs a time zone")
            hosts, faults = tuple(map(str, document["hosts"])), tuple(map(str, document["faults"]))
            return cls(str(document["by"]), hosts, faults, until)
        except (KeyError, TypeError, ValueError) as error:
            raise errors.SettingsError(
                f"The lease is not usable ({type(error).__name__}: {error}); it needs by, hosts, faults, and until with a time zone."
            ) from error

    def covers(self, fault: str, host: str, now: datetime) -> bool:
        return now < self.until and fault in self.faults and _matches(host, self.hosts)


@dataclass(frozen=True)
class Limits:
    """At most so many targets and such a share of their sort; `regions` named (none: any); destroying only when told so.

    `hosts` are patterns of those on which faults may be caused, `production` of those that need a lease besides.
    """

    targets: int = 10
    share: float = 1.0
    regions: frozenset[str] = frozenset()
    destroying: bool = False
    hosts: tuple[str, ...] = LOOPBACK
    production: tuple[str, ...] = ()


@dataclass(frozen=True)
class Guard:
    """Decides whether a fault may be caused."""

    limits: Limits = field(default_factory=Limits)
    lease: Lease | None = None

    def require(self, fault: str, aim: powers.Aim, hosts: Iterable[str], now: datetime) -> None:
        """Raises PlanError with everything that speaks against it."""
        problems = [*self._blast(aim), *self._places(fault, tuple(dict.fromkeys(hosts)), now)]
        if problems:
            raise errors.PlanError(problems)

    def _blast(self, aim: powers.Aim) -> Iterable[str]:
        limits = self.limits
        if not aim.targets:
            yield "the fault would touch nothing"
        if len(aim.targets) > limits.targets:
            yield f"it would touch {len(aim.targets)} targets, more than the {limits.targets} allowed"
        if aim.share > limits.share:
            yield f"it would touch {100 * aim.share:.0f} % of what there is of the sort, more than the {100 * limits.share:.0f} % allowed"
        if limits.regions and aim.regions - limits.regions:
            yield f"it would touch {', '.join(sorted(aim.regions - limits.regions))}, and allowed are {', '.join(sorted(limits.regions))}"
        if aim.destroys and not limits.destroying:
            yield "it destroys data that only a recovery brings back, which was not allowed"

    def _places(self, fault: str, hosts: tuple[str, ...], now: datetime) -> Iterable[str]:
        for host in hosts:
            if _matches(host, self.limits.production) and not (self.lease and self.lease.covers(fault, host, now)):
                yield f"{host} is production, and no lease allows {fault} there now"
            elif not _matches(host, (*self.limits.hosts, *self.limits.production)):
                yield f"{host} is not among the hosts on which faults may be caused"


def limits(document: Mapping[str, Any], told: Limits) -> Limits:
    """What was told, with the `hosts` and `production` of the document of a guardrails file. Raises SettingsError."""
    unknown = set(document) - {"hosts", "production"}
    if unknown or not all(isinstance(value, list) for value in document.values()):
        raise errors.SettingsError("The guardrails need lists of patterns under `hosts` and `production`, and nothing else.")
    hosts, production = (tuple(map(str, document.get(name, ()))) for name in ("hosts", "production"))
    return Limits(told.targets, told.share, told.regions, told.destroying, (*LOOPBACK, *hosts), production)


def _matches(host: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(host, pattern) for pattern in patterns)
