"""What keeps faults within bounds: limits on what they may touch, where they may be caused, and a lease for where they otherwise may not.

Pure: is told what a fault aims at, where, and the time; raises before anything is touched.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fnmatch import fnmatch
from typing import Any

from drplatform.model import errors, powers

LOOPBACK = ("127.*", "::1", "localhost")


@dataclass(frozen=True)
class Lease:
    """Somebody's leave to cause these faults where production is, until then. `hosts` and `contexts` are patterns."""

    by: str
    hosts: tuple[str, ...]
    faults: tuple[str, ...]
    until: datetime
    contexts: tuple[str, ...] = ()

    @classmethod
    def parse(cls, document: Any) -> "Lease":
        """Raises SettingsError for a lease that does not say by whom, where, what and until when."""
        try:
            until = document["until"] if isinstance(document["until"], datetime) else datetime.fromisoformat(str(document["until"]))
            if until.tzinfo is None:
                raise ValueError("`until` needs a time zone")
            contexts = tuple(map(str, document.get("contexts") or ()))
            hosts = tuple(map(str, document["hosts"] if not contexts else document.get("hosts") or ()))
            return cls(str(document["by"]), hosts, tuple(map(str, document["faults"])), until, contexts)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise errors.SettingsError(
                f"The lease is not usable ({type(error).__name__}: {error}); it needs by, hosts or contexts, faults, and until with a time zone."
            ) from error

    def covers(self, fault: str, host: str, now: datetime) -> bool:
        return now < self.until and fault in self.faults and _matches(host, self.hosts)

    def covers_cluster(self, fault: str, cluster: "Place", now: datetime) -> bool:
        leased = _matches(cluster.context, self.contexts) or _matches(cluster.host, self.hosts)
        return now < self.until and fault in self.faults and leased


@dataclass(frozen=True)
class Place:
    """A cluster: the context by which it was named, and the host of its API server."""

    context: str
    host: str


@dataclass(frozen=True)
class Limits:
    """At most so many targets and such a share of their sort; `regions` named (none: any); destroying only when told so.

    `hosts` are patterns of those on which faults may be caused, `contexts` of the clusters (that of one whose API server is on such a host need
    not be named), `production` of the hosts and contexts that need a lease besides.
    """

    targets: int = 10
    share: float = 1.0
    regions: frozenset[str] = frozenset()
    destroying: bool = False
    hosts: tuple[str, ...] = LOOPBACK
    production: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Guard:
    """Decides whether a fault may be caused."""

    limits: Limits = field(default_factory=Limits)
    lease: Lease | None = None

    def require(self, fault: str, aim: powers.Aim, hosts: Iterable[str], now: datetime, clusters: Iterable[Place] = ()) -> None:
        """Raises PlanError with everything that speaks against it."""
        places = (*self._hosts(fault, tuple(dict.fromkeys(hosts)), now), *self._clusters(fault, clusters, now))
        if problems := [*self._blast(aim), *places]:
            raise errors.PlanError(problems)

    def require_clusters(self, faults: Iterable[str], clusters: Sequence[Place], now: datetime) -> None:
        """Whether these faults may be caused in these clusters at all. Raises PlanError."""
        if problems := dict.fromkeys(problem for fault in faults for problem in self._clusters(fault, clusters, now)):
            raise errors.PlanError(list(problems))

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

    def _hosts(self, fault: str, hosts: tuple[str, ...], now: datetime) -> Iterable[str]:
        for host in hosts:
            if _matches(host, self.limits.production) and not (self.lease and self.lease.covers(fault, host, now)):
                yield f"{host} is production, and no lease allows {fault} there now"
            elif not _matches(host, (*self.limits.hosts, *self.limits.production)):
                yield f"{host} is not among the hosts on which faults may be caused"

    def _clusters(self, fault: str, clusters: Iterable[Place], now: datetime) -> Iterable[str]:
        limits = self.limits
        for cluster in clusters:
            if _matches(cluster.context, limits.production) or _matches(cluster.host, limits.production):
                if not (self.lease and self.lease.covers_cluster(fault, cluster, now)):
                    yield f"the cluster of {cluster.context} is production, and no lease allows {fault} there now"
            elif not _matches(cluster.context, limits.contexts) and not _matches(cluster.host, limits.hosts):
                yield (
                    f"the cluster of {cluster.context} ({cluster.host}) is not among those in which faults may be caused; "
                    "name it under `contexts` in a file of guardrails (DRPLATFORM_GUARDRAILS)"
                )


def limits(document: Mapping[str, Any], told: Limits) -> Limits:
    """What was told, with the lists of the document of a guardrails file. Raises SettingsError."""
    unknown = set(document) - {"hosts", "contexts", "production"}
    if unknown or not all(isinstance(value, list) for value in document.values()):
        raise errors.SettingsError("The guardrails need lists of patterns under `hosts`, `contexts` and `production`, and nothing else.")
    hosts, contexts, production = (tuple(map(str, document.get(name, ()))) for name in ("hosts", "contexts", "production"))
    return replace(told, hosts=(*LOOPBACK, *hosts), contexts=contexts, production=production)


def _matches(host: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(host, pattern) for pattern in patterns)
