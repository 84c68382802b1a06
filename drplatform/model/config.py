"""The configuration of backup jobs: which stores there are, where backups go, to whom they are encrypted.

Holds no secret: a password is named by what holds it: an environment variable, a file, a secret of a cluster. Parsed strictly; knows nothing of files.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from drplatform.model import errors, tls
from drplatform.model.ports import Address
from drplatform.model.reading import Reader

LOCKS = ("lock_days", "evidence_lock_days")
"""Days for which what is put into an S3 repository can be deleted or changed by nobody: backups, and evidence."""

OPTIONS = {
    "mongodb": frozenset({"replica_set", "read_from"}) | tls.OPTIONS,
    "redis": frozenset({"transfer", "acknowledging_replicas", "source_bind", "source_host", "source_port"}) | tls.OPTIONS,
    "files": frozenset({"buckets", "region", "scheme", "versions"}),
    "configuration": frozenset({"directory"}),
    "kubernetes": frozenset({"kubeconfig", "context", "namespaces", "kinds", "labels", "map"}),
    "s3": frozenset({"bucket", "region", "scheme", *LOCKS}),
}
"""The options of each kind of store, and of an S3 repository. Others are refused, so that none is passed over in silence."""


REPLICAS = frozenset({"files"})
"""The kinds of stores that are replicated by us; the others replicate by themselves."""
SECRET_SOURCES = {"env", "file", "kubernetes"}
CLUSTER_SECRET = r"[^/\s]+/[^/\s]+/[^/\s]+"
"""NAMESPACE/NAME/KEY of a Kubernetes secret."""
ROOT = {"stores", "repository", "replicas", "recipients", "secret_recipients", "identity", "policy", "alerts", "capacity"}


@dataclass(frozen=True)
class SecretRef:
    """Where a secret is: in an environment variable (`env`), a `file`, or a secret of a cluster (`kubernetes`: NAMESPACE/NAME/KEY)."""

    source: str
    name: str


@dataclass(frozen=True)
class Place:
    """How to reach a store or an S3 repository."""

    kind: str
    addresses: tuple[Address, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    password: SecretRef | None = None


@dataclass(frozen=True)
class Config:
    """`repository` is a directory's path or an S3 place; paths are relative to the configuration's own directory."""

    stores: Mapping[str, Place]
    repository: Place | str
    recipients: tuple[str, ...] = ()
    secret_recipients: tuple[str, ...] = field(default=(), kw_only=True)
    """Who alone can read the secrets of configuration; none: who can open the backups."""
    identity: str = ""
    policy: str = ""
    alerts: tuple["AlertWay", ...] = ()
    capacity: int | None = None
    """Bytes that the repository has room for."""
    replicas: Mapping[str, Place] = field(default_factory=dict)
    """Where the store is that a store is replicated into, by store."""


@dataclass(frozen=True)
class AlertWay:
    """Where notices of alerts go: the kind of the way, its options, and its secrets by name."""

    kind: str
    options: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, SecretRef] = field(default_factory=dict)


ALERT_WAYS = {"log": (frozenset({"file"}), frozenset[str]()), "webhook": (frozenset[str](), frozenset({"url", "token"}))}
"""By kind: its options and its secrets."""


def parse(document: object) -> Config:
    """The configuration in the document. Raises SettingsError with every problem found."""
    reader = Reader()
    root = reader.mapping(document, "configuration", ROOT)
    kinds = set(OPTIONS) - {"s3"}
    stores = {
        kind: _place(reader, kind, body, f"stores.{kind}") for kind, body in reader.mapping(root.get("stores"), "stores", kinds).items()
    }
    found = Config(
        {kind: place for kind, place in stores.items() if kind in kinds},
        _repository(reader, root.get("repository")),
        tuple(map(str, reader.sequence(root.get("recipients", []), "recipients"))),
        reader.text(root, "identity", "configuration") if "identity" in root else "",
        reader.text(root, "policy", "configuration") if "policy" in root else "",
        tuple(_alert_way(reader, i, body) for i, body in enumerate(reader.sequence(root.get("alerts", []), "alerts"))),
        _bytes(reader, root["capacity"]) if "capacity" in root else None,
        _replicas(reader, root.get("replicas", {}), stores),
        secret_recipients=tuple(map(str, reader.sequence(root.get("secret_recipients", []), "secret_recipients"))),
    )
    if reader.problems:
        raise errors.SettingsError(f"The configuration is not usable: {'; '.join(reader.problems)}.")
    return found


def _replicas(reader: Reader, body: object, stores: Mapping[str, Place]) -> dict[str, Place]:
    found = reader.mapping(body, "replicas", set(REPLICAS))
    for kind in found.keys() - stores.keys():
        reader.problems.append(f"replicas.{kind}: there is no such store to be replicated; add it to stores")
    return {kind: _place(reader, kind, each, f"replicas.{kind}") for kind, each in found.items() if kind in REPLICAS}


def _repository(reader: Reader, body: object) -> Place | str:
    root = reader.mapping(body, "repository", {"directory", "s3"})
    if set(root) == {"directory"}:
        return reader.text(root, "directory", "repository")
    if set(root) == {"s3"}:
        return _place(reader, "s3", root["s3"], "repository.s3")
    if isinstance(body, Mapping):
        reader.problems.append("repository: say either directory or s3")
    return ""


def _place(reader: Reader, kind: str, body: object, path: str) -> Place:
    root = reader.mapping(body, path, {"addresses", "options", "user", "password"})
    options = reader.mapping(root.get("options", {}), f"{path}.options", set(OPTIONS.get(kind, ())))
    addresses = () if kind in ("configuration", "kubernetes") else _addresses(reader, root.get("addresses"), f"{path}.addresses")
    user = reader.text(root, "user", path) if "user" in root else ""
    password = _secret(reader, root["password"], f"{path}.password") if "password" in root else None
    for name in LOCKS:
        if name in options and not (isinstance(options[name], int) and not isinstance(options[name], bool) and options[name] > 0):
            reader.problems.append(f"{path}.options.{name} must be a whole number of days above 0, not {options[name]!r}")
    if bool(user) != bool(password):
        reader.problems.append(f"{path}: user and password go together")
    return Place(kind, addresses, {name: _plain(value) for name, value in options.items()}, user, password)


def _alert_way(reader: Reader, index: int, body: object) -> AlertWay:
    path = f"alerts[{index}]"
    kind = str(body.get("kind", "")) if isinstance(body, Mapping) else ""
    options, secrets = ALERT_WAYS.get(kind, (frozenset[str](), frozenset[str]()))
    root = reader.mapping(body, path, {"kind", *options, *secrets})
    reader.choice(root, "kind", path, tuple(ALERT_WAYS))
    found = {name: _secret(reader, root[name], f"{path}.{name}") for name in sorted(secrets & root.keys())}
    return AlertWay(kind, {name: _plain(root[name]) for name in sorted(options & root.keys())}, {n: s for n, s in found.items() if s})


_UNITS = {"": 1, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def _bytes(reader: Reader, value: object) -> int | None:
    """`500 GiB` -> bytes."""
    match = re.fullmatch(r"(\d+)\s*(MiB|GiB|TiB|)", str(value).strip())
    if not match or int(match[1]) == 0:
        reader.problems.append(f"capacity: expected bytes, or e.g. 500 GiB, not {value!r}")
        return None
    return int(match[1]) * _UNITS[match[2]]


def _plain(value: object) -> str:
    """YAML reads `yes` as true; options are text."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _addresses(reader: Reader, value: object, path: str) -> tuple[Address, ...]:
    found = []
    for index, item in enumerate(reader.sequence(value, path)):
        host, colon, port = str(item).rpartition(":")
        if not host or not colon or not port.isdigit() or not 0 < int(port) < 65536:
            reader.problems.append(f"{path}[{index}]: expected host:port, not {item!r}")
        else:
            found.append(Address(host.strip("[]"), int(port)))
    return tuple(found)


def _secret(reader: Reader, value: object, path: str) -> SecretRef | None:
    if not isinstance(value, Mapping):
        reader.problems.append(
            f"{path}: name where the secret is, as {{env: VARIABLE}}, {{file: PATH}} or {{kubernetes: NAMESPACE/NAME/KEY}}; "
            "no secret belongs into this file"
        )
        return None
    root = reader.mapping(value, path, SECRET_SOURCES)
    if len(root) != 1:
        reader.problems.append(f"{path}: say one of env, file and kubernetes")
        return None
    source = next(iter(root))
    name = reader.text(root, source, path)
    if source == "kubernetes" and not re.fullmatch(CLUSTER_SECRET, name):
        reader.problems.append(f"{path}.kubernetes: expected NAMESPACE/NAME/KEY, not {name!r}")
    return SecretRef(source, name)
