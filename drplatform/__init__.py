"""Proves that a platform can be recovered: backups, disasters, measured recovery, evidence."""

import importlib
from typing import Any

__version__ = "0.1.0"


def discover(discover_system: bool = True) -> Any:
    """What Chaos Toolkit finds in this package (`chaos discover drplatform --no-install`): its actions and probes."""
    return importlib.import_module("drplatform.chaos.discovery").discover(discover_system)
