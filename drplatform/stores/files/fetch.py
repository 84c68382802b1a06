"""`get_object` of a client, for less: around a request the client spends more processor time than on it, and there may be a million small objects.

A plain one is signed with botocore's signatures, sent over its connections, and told in the words of its description of S3. Any other, and any
answer other than 200, goes the library's own way, with its errors and its repetitions.
"""

import functools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.response import StreamingBody
from botocore.utils import parse_timestamp, percent_encode

Answer = dict[str, Any]
_PLAIN = frozenset({"Bucket", "Key", "VersionId"})


def shortcut(**event: Any) -> None:
    """Handles botocore's event `creating-client-class.s3`."""
    class_attributes: dict[str, Any] = event["class_attributes"]
    library: Callable[..., Answer] = class_attributes["get_object"]

    def get_object(self: Any, *unnamed: Any, **request: Any) -> Answer:
        plain = not unnamed and {"Bucket", "Key"} <= request.keys() <= _PLAIN and all(isinstance(v, str) and v for v in request.values())
        return (_got(self, request) if plain else None) or library(self, *unnamed, **request)

    class_attributes["get_object"] = get_object


def _got(client: Any, place: Mapping[str, str]) -> Answer | None:
    """None when it is not there, or did not come."""
    url = f"{client.meta.endpoint_url}/{percent_encode(place['Bucket'])}/{percent_encode(place['Key'], safe='/~')}"
    version = {"versionId": place["VersionId"]} if "VersionId" in place else {}
    request = AWSRequest("GET", url, {"User-Agent": "drplatform"}, params=version, stream_output=True)
    S3SigV4Auth(client._request_signer._credentials, "s3", client.meta.region_name).add_auth(request)
    try:
        answer = client._endpoint.http_session.send(request.prepare())
        if answer.status_code == 200:
            body = StreamingBody(answer.raw, answer.headers.get("content-length"))
            return {**told(answer.headers, client.meta.service_model), "Body": body, "ResponseMetadata": {"HTTPStatusCode": 200}}
        answer.raw.drain_conn()
    except (BotoCoreError, ValueError):
        pass
    return None


def told(headers: Mapping[str, str], service: Any) -> Answer:
    """What botocore makes of the headers of an object."""
    members, answer, metadata = _members(service), Answer(), dict[str, str]()
    for name, value in headers.items():
        lower = name.lower()
        if lower in members:
            member, read = members[lower]
            answer[member] = read(value)
        elif lower.startswith("x-amz-meta-"):
            metadata[name[len("x-amz-meta-") :]] = value
    if "ExpiresString" in answer:
        try:
            answer["Expires"] = parse_timestamp(answer["ExpiresString"])
        except (ValueError, RuntimeError):
            pass
    return {**answer, "Metadata": metadata}


@functools.cache
def _members(service: Any) -> dict[str, tuple[str, Callable[[str], Any]]]:
    """What each header is called in an answer, and how it is read."""
    readers: dict[str, Callable[[str], Any]] = {"integer": int, "long": int, "boolean": lambda value: value == "true", "timestamp": moment}
    shapes = service.operation_model("GetObject").output_shape.members
    headers = {name: shape for name, shape in shapes.items() if shape.serialization.get("location") == "header"}
    found = {shape.serialization["name"].lower(): (name, readers.get(shape.type_name, str)) for name, shape in headers.items()}
    return {**found, "expires": ("ExpiresString", str)}


def moment(value: Any) -> datetime:
    """A listing tells a moment for each object, in ISO 8601, and the headers of an object one as HTTP does: Python reads either many times
    as fast as botocore reads any format."""
    for read in (datetime.fromisoformat, parsedate_to_datetime, parse_timestamp):
        try:
            found: datetime = read(value)
        except (AttributeError, TypeError, ValueError):
            continue
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    raise ValueError(f"{value!r} is no time.")
