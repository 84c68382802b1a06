"""Guardrails from their files, and which clusters a drill would be in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from drplatform.engine import guardrails
from drplatform.environment import clusters
from drplatform.environment.settings import Settings
from drplatform.model import drill as drills
from drplatform.model import errors, ports, powers
from drplatform.model.clock import Clock


def guard(limits: guardrails.Limits, rules: Path | None, lease: Path | None) -> guardrails.Guard:
    """The limits, with the places of the file, and the lease. Raises SettingsError."""
    document = _yaml(rules) if rules else {}
    if not isinstance(document, dict):
        raise errors.SettingsError(f"{rules} needs lists of patterns under `hosts`, `contexts` and `production`.")
    return guardrails.Guard(guardrails.limits(document, limits), guardrails.Lease.parse(_yaml(lease)) if lease else None)


def require_clusters(settings: Settings, clock: Clock, scenario: drills.Scenario, platform: ports.Platform) -> None:
    """Before the platform is started. Raises PlanError when the scenario's faults may not be caused in the clusters that were chosen.

    Without a file of guardrails the choice of the cluster is the leave: a drill acts there on namespaces of its own. Who keeps one means it.
    """
    if settings.guardrails is None:
        return
    faults = sorted({a.fault for a in scenario.activities if isinstance(a, drills.Inflict)})
    allowed = guard(guardrails.Limits(), settings.guardrails, settings.lease)
    allowed.require_clusters(faults, list(_places(settings, clock, scenario, platform)), clock.utc())


def _places(settings: Settings, clock: Clock, scenario: drills.Scenario, platform: ports.Platform) -> Iterator[guardrails.Place]:
    if isinstance(platform, powers.Clustered):
        yield from (guardrails.Place(*place) for place in platform.places())
    if any(f"store:{drills.CLUSTER}" in a.needs() for a in scenario.activities):
        for store in clusters.store(settings, clock, "").values():
            assert isinstance(store, powers.Clustered)  # the store of clusters is
            yield from (guardrails.Place(*place) for place in store.places())


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise errors.SettingsError(f"{path} cannot be read ({' '.join(str(error).split())}).") from error
