"""A restore that is killed or hangs in the middle, as a step of a recovery: that it was at work, and is not finished, is asked of the target."""

import threading

from drplatform.engine import hung_step
from drplatform.engine.kit import Apart, Kit
from drplatform.model import errors, ports
from drplatform.model.clock import Clock, wait_for
from drplatform.model.timeline import Timeline

SECONDS_TO_BEGIN = 60.0
SECONDS_TO_HANG = 10.0


def kill_one(kit: Kit, store: str, endpoint: ports.Endpoint, timeline: Timeline, *, hangs: bool = False) -> None:
    """Begin a restore into the store in a process of its own, and kill it; with `hangs`, stop it first (SIGSTOP) until it is given up.

    Raises Inconclusive when it was not killed, or did not hang, in the middle.
    """
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
        if hangs:
            apart.hang()
            _give_up(apart, fresh, store, kit.clock)
        apart.kill()
        plan = fresh.unfinished()
    finally:
        apart.kill()
        fresh.close()
    if not plan:
        how = "did not hang" if hangs else "was not killed"
        raise errors.Inconclusive(f"The restore of {store} {how} in the middle: it was over before. It said: {apart.said()}")
    if hangs:
        timeline.add(hung_step.EVENT, step=f"Restore {store}", seconds=hung_step.PATIENCE, plan=plan)
    timeline.add("restore.killed", store=store, plan=plan)


def _give_up(apart: Apart, fresh: ports.Resumable, store: str, clock: Clock) -> None:
    """After a while in which the restore hangs, as the operating system says, and is unfinished, as the target says. Raises Inconclusive."""
    unheard = errors.Inconclusive(f"The restore of {store} did not hang in the middle. It said: {apart.said()}")
    try:
        wait_for(clock, "it to hang", lambda: apart.hangs() or not apart.running(), within=SECONDS_TO_HANG)
    except errors.DeadlineExceeded as error:
        raise unheard from error
    never, end = threading.Event(), clock.monotonic() + hung_step.PATIENCE
    while clock.monotonic() < end:
        if not apart.hangs() or not fresh.unfinished():
            raise unheard
        clock.wait(never, hung_step.PERIOD)
