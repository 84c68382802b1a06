"""Public names in Amazon Route 53: the same records as `rfc2136` makes (SRV with the A records of its targets), changed in one batch.

Lookups ask the service for its records, not a resolver: what clients see follows within the records' time to live. Credentials are those of
the name server's entry, or what boto3 finds by itself.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
import botocore.config
import botocore.exceptions

from drplatform.model import errors
from drplatform.model.clock import Clock, wait_for
from drplatform.model.ports import Address, Answer, NameServer

SECONDS_TO_CHANGE = 120.0
"""Route 53 says that changes reach all its servers within 60 seconds."""


def connect(server: NameServer, clock: Clock) -> "Route53":
    """Options: `region`; `endpoint` for an API elsewhere. Raises SettingsError when there is no such hosted zone, or not one alone."""
    keys = server.credentials
    config = botocore.config.Config(connect_timeout=5, read_timeout=10, retries={"max_attempts": 3, "mode": "standard"})
    client = boto3.client(
        "route53",
        region_name=server.options.get("region", "us-east-1"),
        endpoint_url=server.options.get("endpoint"),
        aws_access_key_id=keys.user if keys else None,
        aws_secret_access_key=keys.password.reveal() if keys else None,
        config=config,
    )
    return Route53(server, client, clock)


class Route53:
    """ports.Traffic."""

    def __init__(self, server: NameServer, client: Any, clock: Clock) -> None:
        self.ttl = server.ttl
        self._zone, self._client, self._clock = server.zone.rstrip(".") + ".", client, clock
        self._id = self._hosted_zone()

    def point(self, name: str, to: tuple[Address, ...]) -> None:
        if not to:
            raise errors.StoreError(f"The name {name} must point somewhere; name at least one address.")
        targets = [(f"{name}-{number}.{self._zone}", address) for number, address in enumerate(to, 1)]
        service = [{"Value": f"{number} 10 {address.port} {target}"} for number, (target, address) in enumerate(targets, 1)]
        records = [self._record(self._service(name), "SRV", service)]
        records += [self._record(target, "A", [{"Value": address.host}]) for target, address in targets]
        batch = {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record} for record in records]}
        with _doing(f"change {name}"):
            change = self._client.change_resource_record_sets(HostedZoneId=self._id, ChangeBatch=batch)["ChangeInfo"]["Id"]
        wait_for(self._clock, f"Route 53 to have {name} everywhere", lambda: self._in_sync(change), within=SECONDS_TO_CHANGE, every=1.0)

    def lookup(self, name: str, timeout: float = 1.0) -> Answer:
        found = self._find(self._service(name), "SRV")
        addresses = []
        for priority, _, port, target in sorted(record["Value"].split() for record in found["ResourceRecords"]):
            assert priority
            addresses += [Address(str(a["Value"]), int(port)) for a in self._find(target, "A")["ResourceRecords"]]
        return Answer(tuple(addresses), float(found["TTL"]))

    def close(self) -> None:
        self._client.close()

    def _hosted_zone(self) -> str:
        with _doing(f"find the zone {self._zone}"):
            zones = self._client.list_hosted_zones_by_name(DNSName=self._zone, MaxItems="10")["HostedZones"]
        found = [zone["Id"] for zone in zones if zone["Name"] == self._zone]
        if len(found) != 1:
            raise errors.SettingsError(f"Route 53 has {len(found)} hosted zones {self._zone} for these credentials; there must be one.")
        return str(found[0])

    def _find(self, name: str, kind: str) -> Mapping[str, Any]:
        with _doing(f"find {name}"):
            asked = {"HostedZoneId": self._id, "StartRecordName": name, "StartRecordType": kind, "MaxItems": "1"}
            sets = self._client.list_resource_record_sets(**asked)["ResourceRecordSets"]
        if not sets or (sets[0]["Name"], sets[0]["Type"]) != (name, kind):
            raise errors.StoreError(f"Route 53 knows no {name}; was it ever set?")
        first: Mapping[str, Any] = sets[0]
        return first

    def _in_sync(self, change: str) -> bool:
        with _doing("look how far a change is"):
            return bool(self._client.get_change(Id=change)["ChangeInfo"]["Status"] == "INSYNC")

    def _record(self, name: str, kind: str, values: list[dict[str, str]]) -> dict[str, Any]:
        return {"Name": name, "Type": kind, "TTL": max(1, round(self.ttl)), "ResourceRecords": values}

    def _service(self, name: str) -> str:
        return f"_{name}._tcp.{self._zone}"


@contextmanager
def _doing(what: str) -> Iterator[None]:
    try:
        yield
    except botocore.exceptions.ClientError as error:
        code = error.response["Error"]["Code"]
        raise errors.StoreError(f"Route 53 refused to {what} ({code}); may these credentials change the zone?") from error
    except botocore.exceptions.BotoCoreError as error:
        raise errors.StoreError(f"Route 53 could not {what} ({type(error).__name__}); is it reached, and are there credentials?") from error
