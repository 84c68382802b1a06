"""Services come up in the order of their dependencies, on real processes; what is broken between them is found; who signs is recorded."""

import contextlib
import dataclasses
import os

import pytest

from drplatform import application, environment
from drplatform.application import clients as stores_of
from drplatform.engine import capabilities, phrases, service_checks, services
from drplatform.model import drill, errors, policy
from drplatform.model.services import Serving
from drplatform.model.timeline import Timeline
from drplatform.model.verdict import Verdict
from drplatform.platforms.embedded import EmbeddedPlatform


def with_services(**needs):
    return dataclasses.replace(
        environment.load_policy(None), services=tuple(policy.Service(name, "critical", tuple(of)) for name, of in needs.items())
    )


def test_the_order_has_what_is_ready_at_once_and_refuses_a_circle():
    ordered = with_services(gateway=["api"], worker=["api", "mongodb"], api=["redis"], reporting=["mongodb"])
    assert ordered.service_order() == (("api", "reporting"), ("gateway", "worker"))
    with pytest.raises(errors.PolicyError, match="a, b wait for each other"):
        with_services(a=["b"], b=["a"], c=[]).service_order()


def test_a_platform_without_services_says_so_before_anything_is_touched(memory_kit):
    sentences = [
        "the platform runs in two regions",
        "the services are deployed",
        "the services are brought up in order in the secondary region",
    ]
    asked = [phrases.activity(s) for s in sentences]
    assert asked[2].region == "secondary"
    offered = capabilities.offered(memory_kit.platform, memory_kit.stores, ())
    with pytest.raises(errors.PlanError, match="'the services are deployed' needs services, which this platform does not offer"):
        drill.plan(drill.Scenario("F", "S", (), tuple(asked)), memory_kit.policy, 1, offered)


@pytest.fixture
def kit(memory_kit, tmp_path, clock):
    """Services on an embedded platform."""
    with EmbeddedPlatform.create(clock, tmp_path / "base", {}, os.environ) as platform:
        yield dataclasses.replace(
            memory_kit,
            platform=platform,
            clock=clock,
            policy=environment.load_policy(None),
            application=lambda stores: application.connect(stores, clock),
        )


def judged(kit):
    return {check.name: check for checks in service_checks.parts(kit, "primary").values() for check in checks}


def failed(kit):
    return {name: check.finding for name, check in judged(kit).items() if check.judged is not Verdict.PASSED}


def test_services_are_recovered_and_what_is_broken_is_found(kit, clock):
    assert isinstance(kit.platform, Serving)
    timeline = Timeline(clock)
    recovery = services.ServiceRecovery(kit, timeline, "primary")
    recovery.deploy(["secondary"])
    order = [event.detail["step"] for event in timeline.named("step.end")]
    at = {name: order.index(f"See that the service {name} reaches what it depends on") for name in ("api", "worker", "gateway")}
    assert order.index("Deploy the service worker") > at["api"] < order.index("Deploy the service gateway")
    assert all(one.running() for one in kit.platform.services("primary").values())
    standby = kit.platform.services("secondary")
    assert set(standby) == {"api", "worker", "gateway"} and not any(one.running() for one in standby.values())
    primary, secondary = (len([i for i in region.instances if i.kind == "service"]) for region in kit.platform.regions[:2])
    assert (primary, secondary) == (4, 0), "services on standby are no servers that should run"
    checks = judged(kit)
    assert len(checks) == 6 and all(c.judged is Verdict.PASSED and c.control for c in checks.values()), checks

    kit.platform.services("primary")["api"].kill()
    found = failed(kit)
    assert set(found) == {
        "an upload becomes a PDF",
        *(f"the service {name} is healthy and reaches what it depends on" for name in ("api", "gateway", "worker")),
    }
    assert "gateway does not reach api: Nothing answers" in found["the service gateway is healthy and reaches what it depends on"]

    recovery.follow()
    assert failed(kit) == {}
    order = [event.detail["step"] for event in timeline.named("step.end")]
    tried = [order.index(f"Run the integration test of the service {name}") for name in ("api", "worker", "gateway", "reporting")]
    assert tried[0] < min(tried[1:3]) and max(tried) < order.index("Run the end-to-end test")
    assert timeline.named(services.UNSIGNED) and not timeline.named(services.SIGNED), "nobody is invented"
    signed = services.ServiceRecovery(dataclasses.replace(kit, sign_off=lambda: "Grace"), timeline, "primary")
    signed.steps()[-1].act()
    assert [event.detail["who"] for event in timeline.named(services.SIGNED)] == ["Grace"]

    with contextlib.closing(stores_of.connect({"mongodb": kit.platform.endpoint("mongodb")})) as reached:
        reached.documents.delete_one({})
    assert failed(kit) == {"no reference between the stores dangles": failed(kit)["no reference between the stores dangles"]}
    assert "1 cached documents are newer than the database" in failed(kit)["no reference between the stores dangles"]


def test_an_unknown_service_is_refused(kit):
    with pytest.raises(errors.SettingsError, match="There is no service 'billing'"):
        kit.platform.deploy("primary", "billing", [])
    with pytest.raises(errors.PlanError, match="not deployed in the primary region"):
        services.address(kit, "primary", "api")
