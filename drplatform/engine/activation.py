"""Services in a move between regions: the region that is left has none that run, and in the region that takes over they are brought up."""

from typing import Any

from drplatform.engine import runbook
from drplatform.engine import services as recoveries
from drplatform.engine.kit import Kit
from drplatform.model import services
from drplatform.model.timeline import Timeline

SECONDS_TO_STOP = 60.0


def retire(kit: Kit, region: str) -> tuple[runbook.Step, ...]:
    """None where no services are deployed in the region."""
    platform = kit.platform
    if not isinstance(platform, services.Serving) or not platform.services(region):
        return ()

    def act() -> None:
        platform.stand_by(region)

    def stopped() -> bool:
        return not any(service.running() for service in platform.services(region).values())

    why = "They must not go on with what they know of the stores when the region comes back."
    return (runbook.Step(f"Stop the services of the {region} region", "fence", act, stopped, SECONDS_TO_STOP, why),)


def activate(kit: Kit, timeline: Timeline, region: str) -> tuple[Any, ...]:
    """In the order of their dependencies, tried by their users, signed for. None where none are deployed in the region."""
    platform = kit.platform
    if not isinstance(platform, services.Serving) or not platform.services(region):
        return ()
    return recoveries.ServiceRecovery(kit, timeline, region).steps()
