"""The settings of a service: a JSON file, as `model.services.settings` makes it, that only the service's user can read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drplatform.model import errors
from drplatform.model.ports import Address, Credentials, Endpoint
from drplatform.model.secret import Secret


@dataclass(frozen=True)
class Settings:
    """`stores` by kind; `services` are those that may be called, by name."""

    name: str
    region: str
    depends_on: tuple[str, ...]
    stores: Mapping[str, Endpoint]
    services: Mapping[str, Address]


def read(file: Path) -> Settings:
    """Raises SettingsError; never tells what is in the file."""
    try:
        found = json.loads(file.read_text())
        stores = {kind: _endpoint(kind, body) for kind, body in found["stores"].items()}
        services = {name: address(text) for name, text in found["services"].items()}
        return Settings(found["name"], found["region"], tuple(found["depends_on"]), stores, services)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.SettingsError(f"The settings {file} cannot be read ({type(error).__name__}); deploy the service again.") from None


def address(text: str) -> Address:
    """Of `host:port`. Raises ValueError."""
    host, _, port = text.rpartition(":")
    return Address(host, int(port))


def _endpoint(kind: str, body: Mapping[str, Any]) -> Endpoint:
    keys = Credentials(body["user"], Secret(body["password"])) if "user" in body else None
    return Endpoint(kind, tuple(map(address, body["addresses"])), body["options"], keys)
