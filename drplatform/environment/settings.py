"""What a face was told, and what the machine has: settings, clocks, the policy file."""

import getpass
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

import drplatform
from drplatform.model import errors, policy

REGIONS = ("primary", "secondary")
PLATFORMS = ("embedded", "docker", "kubernetes")
AUTOMATIC, NAMESPACES, PROXIES = "automatic", "namespaces", "proxies"
NETWORKS = (AUTOMATIC, NAMESPACES, PROXIES)
"""What hinders the network between the servers of the embedded platform."""
IMAGE = "drplatform-servers"
"""The image of servers that `drplatform platform images build` makes."""


SECONDS_TO_HEAR_SIGNALS = 1.0


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def utc(self) -> datetime:
        return datetime.now(UTC)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """In steps: of several signals at once, one that another thread takes does not wake the main thread, which alone acts on it."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > SECONDS_TO_HEAR_SIGNALS:
            if event.wait(SECONDS_TO_HEAR_SIGNALS):
                return True
        return event.wait(max(0.0, left))


@dataclass(frozen=True)
class Settings:
    """What a face was told, the process environment filling in the rest.

    `state` holds what outlives a run (audit log, keys); `scratch` is where platforms and runs lie; `servers` maps a server's name to
    its program.
    """

    platform: str = "embedded"
    policy: Path | None = None
    seed: int | None = None
    reports: Path = Path("reports")
    state: Path = Path()
    scratch: Path = Path()
    servers: Mapping[str, str] = field(default_factory=dict)
    operator: str = ""
    image: str = IMAGE
    network: str = AUTOMATIC
    """Of the servers, on platforms that run containers."""
    kubeconfig: Path | None = None
    """Of a cluster in which drills may make namespaces of their own."""
    contexts: Mapping[str, str] = field(default_factory=lambda: {"": ""})
    """Of the kubeconfig; empty: its current one. By no region: the cluster of both; else of the cluster that is each region."""
    config: Path | None = None
    """A drplatform.yaml: its vault keeps the evidence of drills, too."""
    guardrails: Path | None = None
    """A file with the `hosts`, `contexts` and `production` of guardrails."""
    lease: Path | None = None
    """A file by which somebody allows faults in production."""
    stop_when_fails: str = ""
    """A command; when it fails, a drill is interrupted and heals."""
    patience: float = 0.0
    """Seconds after which whatever a drill does counts as hanging; 0: as is right for each of its activities."""
    in_cluster: bool = False
    """Whether this runs where addresses of services of the cluster are reached, as in a pod of it."""
    sign_off: Callable[[], str] = lambda: ""
    """Asks who has looked at critical functionality when the services are back."""

    @property
    def context(self) -> str:
        """Of what is asked of one cluster: a configuration to drill with, secrets. That of two which is the primary region."""
        return next(iter(self.contexts.values()))

    @classmethod
    def read(cls, variables: Mapping[str, str] | None = None, **told: Any) -> "Settings":
        """Settings from DRPLATFORM_* variables; what was told (and is not None) wins. Raises SettingsError."""
        variables = os.environ if variables is None else variables
        home = Path(variables.get("XDG_STATE_HOME") or Path.home() / ".local/state")
        found: dict[str, Any] = {
            "state": Path(variables.get("DRPLATFORM_STATE") or home / "drplatform"),
            "scratch": Path(variables.get("DRPLATFORM_SCRATCH") or tempfile.gettempdir()) / f"drplatform-{os.getuid()}",
            "servers": {s: variables[name] for s in ("mongod", "redis-server", "weed") if (name := _variable(s)) in variables},
            "operator": variables.get("DRPLATFORM_OPERATOR") or _user(),
            "image": variables.get("DRPLATFORM_IMAGE") or IMAGE,
            "network": variables.get("DRPLATFORM_NETWORK") or AUTOMATIC,
            "stop_when_fails": variables.get("DRPLATFORM_STOP_WHEN_FAILS", ""),
            "patience": _seconds("DRPLATFORM_PATIENCE", variables.get("DRPLATFORM_PATIENCE", "")),
            "contexts": by_region(variables.get("DRPLATFORM_CONTEXT", "").split(",")),
            "in_cluster": bool(variables.get("DRPLATFORM_IN_CLUSTER")),
        }
        if kubeconfig := variables.get("DRPLATFORM_KUBECONFIG") or variables.get("DRPLATFORM_TEST_KUBECONFIG"):
            found["kubeconfig"] = Path(kubeconfig)
        for name in ("platform", "policy", "seed", "reports", "config", "guardrails", "lease"):
            if value := variables.get(f"DRPLATFORM_{name.upper()}"):
                found[name] = _converted(name, value)
        found.update({name: value for name, value in told.items() if value is not None})
        settings = cls(**found)
        if settings.platform not in PLATFORMS:
            raise errors.SettingsError(f"There is no platform {settings.platform!r}; known are {', '.join(PLATFORMS)}.")
        return settings


def by_region(words: Sequence[str]) -> Mapping[str, str]:
    """The context told, for both regions; or those of `primary=CONTEXT` and `secondary=CONTEXT`. Raises SettingsError."""
    told = [(region, context) for region, _, context in (word.strip().partition("=") for word in words)]
    if len(words) == 1 and told[0][0] not in REGIONS:
        return {"": words[0].strip()}
    found = {region: context for region, context in sorted(told) if context}
    if len(words) != len(REGIONS) or set(found) != set(REGIONS) or len(set(found.values())) < len(REGIONS):
        raise errors.SettingsError(
            f"The contexts {', '.join(words)} are neither one, of a cluster with both regions, nor one for each region: "
            "primary=CONTEXT and secondary=CONTEXT, of two clusters."
        )
    return found


def _variable(server: str) -> str:
    return "DRPLATFORM_" + server.upper().replace("-", "_")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _seconds(name: str, value: str) -> float:
    try:
        seconds = float(value or 0)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= threading.TIMEOUT_MAX:
        raise errors.SettingsError(f"{name} must be a number of seconds, not {value!r}.")
    return seconds


def _converted(name: str, value: str) -> object:
    if name == "seed":
        if not value.isdigit():
            raise errors.SettingsError(f"DRPLATFORM_SEED must be a whole number, not {value!r}.")
        return int(value)
    return value if name == "platform" else Path(value)


def load_policy(path: Path | None) -> policy.Policy:
    """The policy in the file, or the one that comes with drplatform. Raises PolicyError."""
    try:
        text = path.read_text() if path else resources.files(drplatform).joinpath("policy.yaml").read_text()
        return policy.parse(yaml.safe_load(text))
    except (OSError, UnicodeDecodeError) as error:
        raise errors.PolicyError(f"{path} cannot be read ({error})") from error
    except yaml.YAMLError as error:
        raise errors.PolicyError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    except errors.PolicyError as error:
        first, *others = error.problems
        raise errors.PolicyError([f"{path or 'the default policy'}: {first}", *others]) from error
