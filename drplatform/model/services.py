"""Services: what a platform that runs them promises, what their users do, and the settings that a service is started with.

The comments are the contract, as in `ports`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from drplatform.model.ports import Address, Endpoint, Instance
from drplatform.model.references import References

ROLES = ("api", "worker", "gateway", "reporting")
"""The services of the reference application."""
GATEWAY = "gateway"


@runtime_checkable
class Serving(Protocol):
    """A platform that can run services in its regions."""

    def deploy(self, region: str, service: str, depends_on: Sequence[str]) -> Instance:
        """Have it ready to be started in the region, with the stores' public endpoints as they are now. One that ran is stopped.

        Nothing of it runs when this returns. Raises SettingsError for a service that the platform does not know.
        """

    def stand_by(self, region: str) -> None:
        """Stop what is deployed in the region. It does not run there, whatever comes back, until it is deployed again."""

    def services(self, region: str) -> Mapping[str, Instance]:
        """The services deployed in the region, whether they run or not, by name."""


class Application(Protocol):
    """The users of the deployed services, and a look at what their stores hold. What they cannot do raises StoreError."""

    def health(self, service: Address) -> None:
        """The service itself answers that it is well."""

    def readiness(self, service: Address) -> Mapping[str, str]:
        """What the service says of each thing that it depends on: empty when it reaches it, else what is wrong."""

    def integration_defects(self, service: str, services: Mapping[str, Address]) -> list[str]:
        """What is wrong, in words, when the service does its own work once on what it depends on. What that makes is taken away again.

        `services` are the deployed ones, by name, this one among them.
        """

    def populate(self, gateway: Address, uploads: int) -> None:
        """So many uploads that stay; returns when each has its PDF."""

    def round_trip(self, gateway: Address) -> bytes:
        """Upload something new, wait for its PDF, fetch it, and take all of it away again."""

    def pdf_defects(self, content: bytes) -> list[str]:
        """Why this is no whole PDF of an upload, in words; empty when it is."""

    def references(self) -> References:
        """What the stores hold now, read past the services."""

    def close(self) -> None: ...


def settings(
    name: str, region: str, depends_on: Sequence[str], stores: Mapping[str, Endpoint], services: Mapping[str, Address]
) -> dict[str, Any]:
    """The settings of one service as a document. Holds secrets: write it where only the service can read it.

    `stores` by kind; `services` are those that may be called, by name.
    """
    return {
        "name": name,
        "region": region,
        "depends_on": list(depends_on),
        "stores": {kind: _endpoint(endpoint) for kind, endpoint in stores.items()},
        "services": {other: str(address) for other, address in services.items()},
    }


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    keys = endpoint.credentials
    secret = {"user": keys.user, "password": keys.password.reveal()} if keys else {}
    return {"addresses": [str(a) for a in endpoint.addresses], "options": dict(endpoint.options), **secret}
