"""What `chaos discover drplatform` tells: our actions and probes with their arguments."""

from chaoslib.discovery.discover import discover_actions, discover_probes, initialize_discovery_result
from chaoslib.types import Discovery

import drplatform


def discover(discover_system: bool = True) -> Discovery:
    """A discovery in Chaos Toolkit's form. Nothing runs outside an experiment, so there is no system to describe."""
    found = initialize_discovery_result("drplatform", drplatform.__version__, "recovery drills")
    found["activities"] = [
        *discover_actions("drplatform.chaos.actions"),
        *discover_probes("drplatform.chaos.probes"),
    ]
    return found
