"""The public names of services."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from drplatform.model.ports.places import Address, Credentials


@dataclass(frozen=True)
class NameServer:
    """How to change public names. `kind` names the module in `drplatform.traffic`; `ttl` in seconds is given to each record.

    `options` by kind: route53 `region`, `endpoint`; kubernetes `kubeconfig`, `context`.
    """

    kind: str
    address: Address
    zone: str
    ttl: float
    credentials: Credentials | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """Where a public name points, and for how many seconds a client may remember it."""

    addresses: tuple[Address, ...]
    ttl: float


class Traffic(Protocol):
    """The public names of services."""

    ttl: float

    def point(self, name: str, to: tuple[Address, ...]) -> None:
        """Make the name point there; returns when the server gives that answer. Idempotent. Raises StoreError."""

    def lookup(self, name: str, timeout: float = 1.0) -> Answer:
        """Where the name points, asked of the server. Raises StoreError when it does not answer or knows no such name."""

    def close(self) -> None: ...
