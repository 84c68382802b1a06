"""Where a server is, and what opens it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from drplatform.model.secret import Secret


@dataclass(frozen=True)
class Address:
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Credentials:
    user: str
    password: Secret


@dataclass(frozen=True)
class Endpoint:
    """How to reach one store. `options` by kind: mongodb `replica_set`; files `buckets` (comma separated), `region`, `patience`;
    configuration `directory`. S3 credentials are access key (`user`) and secret key (`password`)."""

    kind: str
    addresses: tuple[Address, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    credentials: Credentials | None = None
