"""Optional powers of platforms, servers and stores that faults ask for, and what a fault says that it would touch.

Asked for at plan time with isinstance, as those in `ports`; the comments are the contract.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from drplatform.model.ports import Endpoint, Instance, Scene

FILE_SIZE, FILE_DESCRIPTORS = "file-size", "file-descriptors"
"""What a server may be limited in: the size to which a file may grow, in bytes; the number of open files and connections."""


@dataclass(frozen=True)
class Aim:
    """What a fault would touch: `targets` by name, out of `population` of their sort, in which regions.

    `destroys`: what it does to them only a recovery brings back.
    """

    targets: tuple[str, ...]
    population: int
    regions: frozenset[str] = frozenset()
    destroys: bool = False

    @property
    def share(self) -> float:
        return len(self.targets) / max(self.population, len(self.targets), 1)


@runtime_checkable
class Aimed(Protocol):
    """A fault that tells, before it is caused, what it would touch."""

    def aim(self, scene: Scene) -> Aim:
        """Reads only."""


@runtime_checkable
class Paced(Protocol):
    """A fault that takes its time."""

    pace: float
    """Seconds that it waits after each target."""


@runtime_checkable
class Reached(Protocol):
    """A store that tells where it is reached."""

    endpoint: Endpoint


@runtime_checkable
class Clustered(Protocol):
    """Something in clusters that a person named."""

    def places(self) -> Sequence[tuple[str, str]]:
        """Of each cluster: the name of the context, and the host of the API server. Asks nothing of the cluster."""


@runtime_checkable
class Copied(Protocol):
    """A store of which one namespace can be copied as it is, and put back when it is gone (see also `ports.Namespaced`)."""

    def population(self) -> int:
        """How many namespaces there are, chosen or not, beside the server's own."""

    def copied(self, namespace: str) -> bytes:
        """Everything in it that a backup would hold. With secrets: for no log and no journal."""

    def put_back(self, content: bytes) -> Sequence[str]:
        """Make again what is not there; what was refused, or is otherwise than in the copy, in words without secrets. What is there is not touched."""


@runtime_checkable
class Pausable(Protocol):
    """A server that can be made to hang: its connections stay, nothing is answered (SIGSTOP)."""

    def hang(self) -> None:
        """Returns when it hangs."""

    def wake(self) -> None: ...


@runtime_checkable
class Fenceable(Protocol):
    """A server that may be fenced: then it runs again only when it is brought back on purpose, never because a fault is healed."""

    @property
    def fenced(self) -> bool: ...


@runtime_checkable
class Partitioning(Protocol):
    """A fault that parts regions from each other; `partitions` is true. Followers of ours, which run beside them, then follow no more."""

    partitions: bool


@runtime_checkable
class Limited(Protocol):
    """A server whose resources can be limited while it runs (setrlimit(2), soft limits)."""

    def limit(self, resource: str, value: int | None) -> None:
        """Set the soft limit; None: as high as it may be."""


@runtime_checkable
class Skewable(Protocol):
    """A server whose clock can be set wrong, while the machine's stays right. Setting it, either way, restarts the server."""

    @property
    def skews(self) -> bool:
        """Whether this machine has what that takes, for this kind of server."""

    def skew(self, seconds: float) -> None:
        """From now on, also after a restart, its clock differs by so many seconds; 0: it is right. One that is replaced has a right one."""


@runtime_checkable
class Traceable(Protocol):
    """A server of which the operating system tells something, whoever changed it."""

    def trace(self) -> Mapping[str, str]:
        """`process`: running, paused or absent; `pid`; `started` (a word that differs for each process); `files`, the number that it has
        open; and its soft limits by resource. Without a process: `process` only."""


@runtime_checkable
class OnDisk(Protocol):
    """A server whose files can be reached from the runner."""

    @property
    def disk(self) -> Path:
        """The directory with all that it stores. It is another one after the server was replaced."""


@runtime_checkable
class Vaulted(Protocol):
    """A platform whose vault is a server of its own that can be hurt."""

    @property
    def vault_server(self) -> Instance: ...


@dataclass(frozen=True)
class Pod:
    """What a server runs in, where a scheduler places it. `uid` differs for each, also of one name; no `node`: not placed yet."""

    uid: str
    node: str


@runtime_checkable
class Scheduled(Protocol):
    """A platform whose servers run in pods, which a scheduler places on nodes. A pod that is gone or told to end counts as none."""

    def pods(self, region: str) -> Mapping[str, Pod]:
        """By the name of the server."""

    def delete_pods(self, region: str, servers: Sequence[str]) -> None:
        """At once and without waiting; what they stored is lost. Others come in their place as soon as a node takes them."""

    def evict_pods(self, region: str, servers: Sequence[str]) -> None:
        """Ask for their eviction, as a drained node does; budgets may forbid it (StoreError)."""

    def nodes(self, region: str) -> Mapping[str, bool]:
        """The nodes of the region: whether each takes new pods."""

    def cordon(self, nodes: Sequence[str]) -> None:
        """They take no new pods, of anybody, until they are uncordoned."""

    def uncordon(self, nodes: Sequence[str]) -> None:
        """Those that this platform has cordoned; others stay as they are."""


@runtime_checkable
class NameServed(Protocol):
    """A platform whose public names come from a name server of its own that can be hurt."""

    @property
    def name_server(self) -> Instance | None:
        """None when the platform was made without public names."""


@runtime_checkable
class Pressurable(Protocol):
    """A platform whose machine can be made busy."""

    def press(self, processors: int, mebibytes: int) -> None:
        """Keep so many processors busy and so much memory occupied, until relieved, but never longer than ten minutes."""

    def relieve(self) -> None: ...

    def pressure(self) -> Mapping[int, str]:
        """The processes that press, by their number: `processor` or `memory`, as the operating system shows them."""


@runtime_checkable
class Hinderable(Protocol):
    """A server of which the network can be hindered. Sources are names of regions, or CLIENTS; none named: everybody."""

    def hinder(
        self, how: str, sources: Sequence[str], seconds: float = 0.0, one_way: bool = False, share: float = 0.0, rate: float = 0.0
    ) -> None:
        """From now on, for connections that are there and for new ones. `how`: CUT (nothing passes, nobody is told), RESET (connections are
        reset), SLOW (everything is `seconds` late, each way), LOSSY (a `share` of packets is lost), NARROW (at most `rate` bytes a second
        pass, each way). `one_way`: only what is sent to the server is held back."""

    def unhinder(self) -> None:
        """Nothing is hindered any more, and connections that were stuck are ended."""

    def hindered(self) -> str:
        """What is in force, as that which carries the connections says; empty: nothing."""


@runtime_checkable
class Severable(Protocol):
    """A platform that can hinder the network between its servers, and between clients and servers. Sides are regions, or CLIENTS.

    `hindrances`: in which ways. `carrier`: what carries the connections, in words. `one_way_for_clients`: whether what clients send can be lost
    on the way while answers pass.
    """

    hindrances: frozenset[str]
    carrier: str
    one_way_for_clients: bool

    def hinder(self, hindrance: "Hindrance") -> None:
        """From now on, for connections that are there and for new ones. Replaces what was before."""

    def unhinder(self) -> None:
        """Nothing is hindered any more; connections that were stuck are ended, so that both ends notice."""

    def hindered(self) -> "Hindrance | None":
        """What is in force now, as that which carries the connections tells."""


@dataclass(frozen=True)
class Hindrance:
    """What happens on the way `source` -> `target` (and back, unless `one_way`) of servers of `kinds` (empty: all).

    `how`, `seconds`, `share` and `rate`: see `Hinderable`.
    """

    how: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    one_way: bool = False
    seconds: float = 0.0
    share: float = 0.0
    rate: float = 0.0


def carrier(platform: object) -> str:
    """What carries the connections of this platform's servers, and hinders them when it is told to."""
    return platform.carrier if isinstance(platform, Severable) else "the proxy in front of each server"


CLIENTS = "clients"
CUT, RESET, SLOW, LOSSY, NARROW = "cut", "reset", "slow", "lossy", "narrow"
HINDRANCES = frozenset({CUT, RESET, SLOW, LOSSY, NARROW})
