"""The recovery of services as a runbook: deployed and started in the order of their dependencies, tried by their users, signed by a person.

Knows services as ports; which there are, and on what they depend, the policy says.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from drplatform.engine import runbook
from drplatform.engine.kit import Kit
from drplatform.model import errors, policy, ports, services
from drplatform.model.evidence import Evidence
from drplatform.model.timeline import Timeline

SECONDS_TO_START = 60.0
SECONDS_TO_REACH = 30.0
UPLOADS = 3
"""What a drill's application holds before anything happens to it."""
SIGNED, UNSIGNED = "manual.signed", "manual.unsigned"
CRITICAL = "critical functionality: an upload, its document and its PDF, as a person sees them"


@dataclass(frozen=True)
class ServiceRecovery:
    """Brings the policy's services up in a region."""

    kit: Kit
    timeline: Timeline
    region: str

    def deploy(self, standby: Sequence[str]) -> None:
        """All services deployed and active; in the `standby` regions the critical ones deployed, but inactive. Uploads are there."""
        runbook.follow(self._up(self._deploy, self._start, self._connect), self.kit.clock, self.timeline)
        for region in standby:
            for service in self.kit.policy.services:
                if service.tier == policy.TIERS[0]:
                    serving(self.kit).deploy(region, service.name, needs(self.kit, service))
        with closing(application(self.kit)) as users:
            users.populate(address(self.kit, self.region, services.GATEWAY), UPLOADS)

    def follow(self) -> None:
        """Follow the runbook. Raises RecoveryFailed naming the step that did not come true."""
        runbook.follow(self.steps(), self.kit.clock, self.timeline)

    def steps(self) -> tuple[Any, ...]:
        """A group of services goes on at once when all that it depends on is up."""
        return (*self._up(self._deploy, self._start, self._connect, self._try), self._communicate(), self._go_through(), self._sign())

    def _up(self, *each: Callable[[policy.Service], runbook.Step]) -> tuple[Any, ...]:
        """These steps of every service."""
        known = {service.name: service for service in self.kit.policy.services}
        order = self.kit.policy.service_order()
        return tuple(runbook.Together(tuple(tuple(step(known[name]) for step in each) for name in group)) for group in order)

    # -- the steps ------------------------------------------------------------------------------------------------------------

    def _deploy(self, service: policy.Service) -> runbook.Step:
        def act() -> None:
            serving(self.kit).deploy(self.region, service.name, needs(self.kit, service))

        def there() -> bool:
            return service.name in serving(self.kit).services(self.region)

        why = f"It needs {', '.join(service.depends_on) or 'nothing'}; its settings name where these are now."
        return runbook.Step(f"Deploy the service {service.name}", "services", act, there, SECONDS_TO_START, why)

    def _start(self, service: policy.Service) -> runbook.Step:
        def act() -> None:
            serving(self.kit).services(self.region)[service.name].start()

        def healthy() -> bool:
            return not health(self.kit, service.name, address(self.kit, self.region, service.name))

        return runbook.Step(
            f"Start the service {service.name}", "services", act, healthy, SECONDS_TO_START, "Done when it says that it is well."
        )

    def _connect(self, service: policy.Service) -> runbook.Step:
        def reached() -> bool:
            return not connectivity(self.kit, service, address(self.kit, self.region, service.name))

        why = "Its own word, on each thing that the policy says it depends on."
        name = f"See that the service {service.name} reaches what it depends on"
        return runbook.Step(name, "services", lambda: None, reached, SECONDS_TO_REACH, why)

    def _try(self, service: policy.Service) -> runbook.Step:
        tried = False

        def act() -> None:
            nonlocal tried
            deployed = {name: one.address for name, one in serving(self.kit).services(self.region).items()}
            with closing(application(self.kit)) as users:
                defects = users.integration_defects(service.name, deployed)
            if defects:
                raise errors.VerificationFailed(f"The service {service.name} does not do its work: {'; '.join(defects)}.")
            tried = True

        why = "It does its own work once on what it depends on; what that makes is removed."
        return runbook.Step(
            f"Run the integration test of the service {service.name}", "services", act, lambda: tried, SECONDS_TO_START, why
        )

    def _communicate(self) -> runbook.Step:
        def found() -> bool:
            return not any(troubles(self.kit, s, address(self.kit, self.region, s.name)) for s in self.kit.policy.services)

        why = "Each was well when it was started; now all of them are up."
        return runbook.Step("Check service-to-service communication", "verify", lambda: None, found, SECONDS_TO_REACH, why)

    def _go_through(self) -> runbook.Step:
        made: list[str] | None = None

        def act() -> None:
            nonlocal made
            with closing(application(self.kit)) as users:
                made = users.pdf_defects(users.round_trip(address(self.kit, self.region, services.GATEWAY)))
            if made:
                raise errors.VerificationFailed(f"The PDF of a new upload is not whole: {'; '.join(made)}.")

        why = "A new upload becomes a PDF, by way of every store and service; then it is removed."
        return runbook.Step("Run the end-to-end test", "verify", act, lambda: made == [], SECONDS_TO_START, why)

    def _sign(self) -> runbook.Step:
        def act() -> None:
            who = self.kit.sign_off()
            if who:
                self.timeline.add(SIGNED, who=who, what=CRITICAL)
            else:
                self.timeline.add(UNSIGNED, what=CRITICAL)

        why = "A person looks at critical functionality; who and when is recorded, and that nobody did, too."
        return runbook.Step("Sign off the manual verification", "sign-off", act, lambda: True, SECONDS_TO_START, why)


def manual(evidence: Evidence) -> str:
    """Who signed the manual verification of the drill and when, or that nobody did; empty when the drill has no such step."""
    for event in reversed(evidence.timeline):
        if event["name"] == SIGNED:
            return f"Manual verification: signed by {event['detail']['who']} at {event['utc']}."
        if event["name"] == UNSIGNED:
            return "Manual verification: unsigned. Nobody has looked; name who did with --sign-off NAME."
    return ""


# -- what the steps and the checks ask ------------------------------------------------------------------------------------------


def serving(kit: Kit) -> services.Serving:
    assert isinstance(kit.platform, services.Serving)  # the plan has made sure
    return kit.platform


def application(kit: Kit) -> services.Application:
    """Users of the application on the stores as they are reached now."""
    assert kit.application, "the composition knows the application"
    kinds = {kit.policy.stores[d].kind for s in kit.policy.services for d in s.depends_on if d in kit.policy.stores}
    return kit.application({kind: kit.platform.endpoint(kind) for kind in sorted(kinds)})


def needs(kit: Kit, service: policy.Service) -> list[str]:
    """What the service depends on: kinds of stores, names of services."""
    return [kit.policy.stores[d].kind if d in kit.policy.stores else d for d in service.depends_on]


def address(kit: Kit, region: str, service: str) -> ports.Address:
    deployed = serving(kit).services(region)
    if service not in deployed:
        raise errors.PlanError(f"the service {service!r} is not deployed in the {region} region; name it in the policy's services")
    return deployed[service].address


def health(kit: Kit, name: str, at: ports.Address) -> list[str]:
    """Why the service is not well, in words."""
    with closing(application(kit)) as users:
        try:
            users.health(at)
        except errors.StoreError as error:
            return [f"{name}: {error}"]
    return []


def connectivity(kit: Kit, service: policy.Service, at: ports.Address) -> list[str]:
    """What of its dependencies the service does not reach, or does not speak of, in words."""
    with closing(application(kit)) as users:
        try:
            said = users.readiness(at)
        except errors.StoreError as error:
            return [f"{service.name}: {error}"]
    wanted = needs(kit, service)
    return [f"{service.name} does not reach {name}: {said.get(name, 'it says nothing of it')}" for name in wanted if said.get(name, "?")]


def troubles(kit: Kit, service: policy.Service, at: ports.Address) -> list[str]:
    return health(kit, service.name, at) or connectivity(kit, service, at)
