"""Where the system under drill runs: servers, regions, and what can be done with them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from drplatform.model.ports.places import Address, Endpoint
from drplatform.model.ports.traffic import NameServer


class Instance(Protocol):
    """One server. `kind` as the store's kind."""

    name: str
    kind: str
    region: str
    address: Address

    def start(self) -> None:
        """Start and return when it answers. Nothing when it runs already."""

    def stop(self) -> None: ...

    def running(self) -> bool:
        """An independent look: does the process exist, and does something listen at its address?"""


@runtime_checkable
class Killable(Protocol):
    def kill(self) -> None:
        """At once, as a power cut does to a process (SIGKILL). Returns when it is gone."""


@runtime_checkable
class Erasable(Protocol):
    def erase(self) -> None:
        """Lose the disk: everything the instance stored. Refused with StoreError while it runs."""

    def stored_bytes(self) -> int:
        """Size of what is on its disk; 0 when it was lost."""


@dataclass(frozen=True)
class Region:
    name: str
    instances: tuple[Instance, ...]

    def of(self, kind: str) -> tuple[Instance, ...]:
        return tuple(i for i in self.instances if i.kind == kind)


@runtime_checkable
class Platform(Protocol):
    """Two regions, primary first, and a vault outside both. A context manager: entering starts it, leaving removes it."""

    name: str
    id: str

    @property
    def regions(self) -> tuple[Region, ...]: ...

    @property
    def directory(self) -> Path:
        """Private to the platform on the runner's machine: what a run keeps here goes with the platform, also when the run was killed."""

    def endpoint(self, kind: str) -> Endpoint:
        """The public name of a store: what clients use, whatever region serves it."""

    def vault(self) -> Endpoint:
        """The S3 endpoint of the backup vault; `options['bucket']` names the bucket."""

    def __enter__(self) -> "Platform": ...

    def __exit__(self, *exc: object) -> None: ...


@runtime_checkable
class Provisionable(Protocol):
    """A platform that can bring up new, empty servers in place of lost ones.

    New servers are private until they are published: clients that use the public name cannot reach a half-restored store, so the
    moment at which the service is back is the moment at which it was switched on, never earlier by accident.
    """

    def fence(self, region: str, kind: str) -> None:
        """Make sure that the region's servers of this kind accept no writes: stop them, keeping their disks."""

    def provision(self, region: str, kind: str) -> Endpoint:
        """New empty servers of this kind in the region, in a group of their own, reachable only at the private endpoint returned.

        Returns when they serve there. The servers of other regions are not touched.
        """

    def publish(self, region: str, kind: str) -> None:
        """Switch the public name to the provisioned servers of this kind; returns when they serve under it, with all they hold.

        Other servers of the same kind in this region become their replicas.
        """

    def rejoin(self, region: str, kind: str) -> None:
        """Bring the region's servers of this kind back, emptied, as replicas of the other region's group; returns when in sync."""


@runtime_checkable
class MultiRegion(Protocol):
    """A platform whose second region can serve in place of the first."""

    def endpoint_in(self, region: str, kind: str) -> Endpoint:
        """The servers of this kind in the region, at their public addresses, whoever serves."""

    def serve_from(self, region: str, kind: str) -> None:
        """Note that the region's servers of this kind serve from now on: `endpoint` names them."""

    def isolate(self, region: str, kind: str) -> tuple[Endpoint, ...]:
        """Start the region's fenced servers on the disks that they have, alone and private, each at an endpoint of its own.

        So that what they hold can be read; no client and no other server can reach them. `fence` or `rejoin` ends it.
        """

    def resume(self, region: str, kind: str) -> None:
        """Start the region's fenced or isolated servers at their public addresses, on the disks that they have."""


@runtime_checkable
class Named(Protocol):
    """A platform with public names in a name server that can be changed."""

    named: bool
    """Whether this one was made with public names."""

    def names(self) -> NameServer: ...
