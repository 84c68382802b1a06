"""A restore that is killed in the middle, as a step of a recovery: that it was at work, and is not finished, is asked of the target."""

from drplatform.engine.kit import Kit
from drplatform.model import errors, ports
from drplatform.model.clock import wait_for
from drplatform.model.timeline import Timeline

SECONDS_TO_BEGIN = 60.0


def kill_one(kit: Kit, store: str, endpoint: ports.Endpoint, timeline: Timeline) -> None:
    """Begin a restore into the store in a process of its own, and kill it. Raises Inconclusive when it was not killed in the middle."""
    assert kit.apart, "the plan has made sure"
    fresh = kit.connect(endpoint)
    assert isinstance(fresh, ports.Resumable), "the plan has made sure"
    apart = kit.apart(endpoint)
    try:
        wait_for(
            kit.clock,
            f"a restore of {store} to begin",
            lambda: fresh.unfinished() or not apart.running(),
            within=SECONDS_TO_BEGIN,
            every=0.002,
            ignoring=(errors.StoreError,),
        )
        apart.kill()
        plan = fresh.unfinished()
    finally:
        apart.kill()
        fresh.close()
    if not plan:
        raise errors.Inconclusive(f"The restore of {store} was not killed in the middle: it was over before. It said: {apart.said()}")
    timeline.add("restore.killed", store=store, plan=plan)
