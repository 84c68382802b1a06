"""The concrete edges, found by their file names."""

import importlib
import os
import pkgutil
import platform as machine
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from importlib import metadata
from pathlib import Path
from typing import Any

import drplatform
from drplatform import faults as fault_folder
from drplatform.engine import phrases
from drplatform.model import drill as drills
from drplatform.model import errors, ports
from drplatform.model.clock import Clock
from drplatform.repositories import _identities


def fault_kinds() -> tuple[str, ...]:
    """The faults there are, by their file names."""
    return tuple(sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(fault_folder.__path__) if not m.name.startswith("_")))


def fault(kind: str) -> Callable[..., ports.Fault]:
    """The class of a fault: `servers-lost` is in drplatform.faults.servers_lost."""
    if kind not in fault_kinds():
        raise errors.SettingsError(f"There is no fault {kind!r}; known are {', '.join(fault_kinds())}.")
    found: Callable[..., ports.Fault] = importlib.import_module(f"drplatform.faults.{kind.replace('-', '_')}").FAULT
    return found


def connect(endpoint: ports.Endpoint, clock: Clock) -> ports.DataStore:
    """The store at the endpoint: `kind: postgres` is in drplatform.stores.postgres."""
    try:
        module = importlib.import_module(f"drplatform.stores.{endpoint.kind}")
    except ModuleNotFoundError as error:
        raise errors.SettingsError(f"There is no store of kind {endpoint.kind!r}.") from error
    store: ports.DataStore = module.connect(endpoint, clock)
    return store


def traffic(server: ports.NameServer, clock: Clock) -> ports.Traffic:
    """The public names at the name server: `kind: rfc2136` is in drplatform.traffic.rfc2136."""
    found: ports.Traffic = importlib.import_module(f"drplatform.traffic.{server.kind}").connect(server, clock)
    return found


def repository(place: ports.Endpoint | Path, clock: Clock) -> ports.Repository:
    """The repository at an S3 endpoint, or in a directory."""
    name = "directory" if isinstance(place, Path) else "s3"
    found: ports.Repository = importlib.import_module(f"drplatform.repositories.{name}").open(place, clock)
    return found


def read_feature(path: Path) -> tuple[drills.Scenario, ...]:
    """The scenarios of a feature file. Raises PlanError or SettingsError."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.SettingsError(f"The feature {path} cannot be read ({error}).") from error
    return phrases.read_feature(text, str(path), fault)


def docker() -> Any:
    """The Docker platform: imported where it is used, with the engine's client."""
    return importlib.import_module("drplatform.platforms.docker")


def kubernetes() -> Any:
    """The Kubernetes platform: imported where it is used."""
    return importlib.import_module("drplatform.platforms.kubernetes")


def kind_up(image: str) -> str:
    """Make a cluster of two regions on this machine, with the image in it; its context. Raises SettingsError with all that is missing."""
    return str(kubernetes().kind.up(os.environ, image))


def kind_down() -> None:
    kubernetes().kind.down(os.environ)


def build_image(context: Path, tag: str, base: str, network: str) -> None:
    """Build the image of the servers for the Docker platform. Raises SettingsError."""
    docker().build(context, os.environ, tag, base, network)


def identity(place: ports.Endpoint, document: Callable[[str], Mapping[str, Any]], clock: Clock) -> AbstractContextManager[ports.Repository]:
    """The repository at the place as an identity of its own sees it, which may do what the document (of the bucket) says."""
    return _identities.identity(place, document, clock)


def versions(stores: Mapping[str, ports.DataStore]) -> dict[str, str]:
    """What ran: drplatform, Python, the machine, and each server."""
    return {
        "drplatform": drplatform.__version__,
        "python": machine.python_version(),
        "system": machine.platform(),
        **{name: metadata.version(name) for name in ("pymongo", "redis", "boto3", "cryptography", "pyrage", "zstandard")},
        **{name: store.version() for name, store in stores.items()},
    }
