"""The engine on the memory platform: whole drills in a second or two, without servers."""

import random

import pytest

from drplatform import environment
from drplatform.engine import backups
from drplatform.engine.capabilities import offered
from drplatform.engine.drill import Drill
from drplatform.engine.kit import Keys, Kit
from drplatform.engine.phrases import with_needs
from drplatform.model import drill
from drplatform.platforms.memory import MemoryPlatform
from drplatform.repositories.memory import MemoryRepository
from drplatform.stores.memory import MemoryStore


@pytest.fixture
def memory_kit(clock, tmp_path):
    """A kit on a started memory platform with the stores mongodb, redis and files."""
    recipient, identity = backups.generate()
    with MemoryPlatform(tmp_path) as platform:

        def connect(endpoint):
            return MemoryStore(lambda: platform.server(endpoint), clock, endpoint.kind)

        yield Kit(
            platform=platform,
            stores={kind: connect(platform.endpoint(kind)) for kind in ("mongodb", "redis", "files")},
            repository=MemoryRepository(clock),
            keys=Keys((recipient,), (identity,)),
            connect=connect,
            faults=environment.fault,
            policy=environment.load_policy(None),
            clock=clock,
            random=random.Random(7),
            directory=platform.directory,
            operator="tester",
            versions={"drplatform": "test"},
        )


@pytest.fixture
def run_drill():
    """Perform the activities on the kit and return the evidence and the drill. What fails is in the evidence."""

    def run(kit, activities, between=None):
        texts = [drill_text(i, a) for i, a in enumerate(activities)]
        named = with_needs(texts, kit.faults)
        scenario = drill.Scenario("F", "S", ("monthly",), named)
        plan = drill.plan(scenario, kit.policy, 7, offered(kit.platform, kit.stores, environment.fault_kinds()))
        with Drill(plan, kit, "run-1") as running:
            for activity in plan.scenario.activities:
                try:
                    running.perform(activity)
                except Exception:  # noqa: BLE001 -- a face: the drill has recorded it
                    if not isinstance(activity, drill.Expect):
                        break
                if between:
                    between(running, activity)
            evidence = running.conclude()
        return evidence, running

    return run


def drill_text(number, activity):
    import dataclasses

    return dataclasses.replace(activity, text=f"{number}: {type(activity).__name__}")
