"""The short way of getting an object is told from the library's own by nothing but its cost."""

import dataclasses

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from botocore.parsers import create_parser
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st
from urllib3._collections import HTTPHeaderDict

from drplatform.stores.files import access, fetch, versions

S3 = Session().get_service_model("s3")
SHAPE = S3.operation_model("GetObject").output_shape
TEXTS = st.text("aZ0 -,;=/\u00e9", min_size=1, max_size=12).map(str.strip)
MOMENTS = st.sampled_from(["Mon, 30 Nov 2026 05:00:00 GMT", "2026-11-30T05:00:00.000Z", "1796014800"])
VALUES = {"timestamp": MOMENTS, "integer": st.integers(0, 2**40).map(str), "long": st.integers(0, 2**40).map(str)}
VALUES |= {"boolean": st.sampled_from(["true", "false", "True"])}
HEADERS = {
    shape.serialization["name"]: VALUES.get(shape.type_name, TEXTS)
    for shape in SHAPE.members.values()
    if shape.serialization.get("location") == "header"
}
CASES = st.sampled_from([str.lower, str.upper, str.title, str])


def test_headers_of_every_type_are_there():
    types = {shape.type_name for shape in SHAPE.members.values() if shape.serialization.get("location") == "header"}
    assert types == {*VALUES, "string"}, "a new type needs a reader"


@given(st.fixed_dictionaries({}, optional=HEADERS), st.dictionaries(st.text("abcXYZ-", min_size=1), TEXTS), CASES, st.booleans())
def test_headers_mean_what_they_mean_to_the_library(headers, metadata, case, expiring):
    sent = HTTPHeaderDict({case(name): value for name, value in headers.items()})
    sent.update({"x-amz-meta-" + name: value for name, value in metadata.items()})
    if expiring:
        sent["Expires"] = "never"
    parser = create_parser("rest-xml")
    parser._timestamp_parser = fetch.moment
    its = HTTPHeaderDict(sent)
    if expiring:
        del its["Expires"]  # as the library does with one that is no date, before it parses
    expected = parser.parse({"headers": its, "status_code": 200, "body": b"", "context": {}}, SHAPE)
    ours = fetch.told(sent, S3)
    assert ours.pop("ExpiresString", None) == sent.get("Expires")
    assert ours == {name: value for name, value in expected.items() if name not in ("Body", "ResponseMetadata")}


KEYS = ["plain", "a b+c%20d", "\u00e4\u00f6/\u65e5\u672c", "q?x=1&y#z", "tilde~star*(bang)!'", "slash//twice", "e" * 200]


@pytest.fixture
def clients(s3_endpoint):
    """The short way with how often the library was called, and the library alone."""
    short, calls = access.client(s3_endpoint), []
    short.meta.events.register("before-call.s3.GetObject", lambda **of_event: calls.append(1))
    alone = access.client(dataclasses.replace(s3_endpoint, options={**s3_endpoint.options, "patience": "30"}))
    assert [one.get_object.__module__ for one in (short, alone)] == [fetch.__name__, "botocore.client"]
    return short, calls, alone


def test_objects_are_the_same_whatever_their_key_and_properties(clients):
    short, calls, library = clients
    properties = {"CacheControl": "no-cache", "ContentDisposition": "inline", "ContentEncoding": "gzip", "ContentLanguage": "de"}
    properties |= {"ContentType": "text/plain; charset=utf-8", "Metadata": {"of": "this", "Mixed-Case": "x=y"}, "Tagging": "a=1&b=2"}
    for key in KEYS:
        for body, more in ((key.encode() * 999, properties), (b"", {})):
            library.put_object(Bucket="uploads", Key=key, Body=body, **more)
            ours, its = (one.get_object(Bucket="uploads", Key=key) for one in (short, library))
            assert ours.pop("Body").read() == its.pop("Body").read() == body
            del ours["ResponseMetadata"], its["ResponseMetadata"]
            assert ours == its and ours["ContentLength"] == len(body)
    assert not calls, "nothing went the library's way"


def test_a_version_is_got_by_its_name(clients):
    short, calls, library = clients
    library.put_bucket_versioning(Bucket="uploads", VersioningConfiguration={"Status": "Enabled"})
    names = [library.put_object(Bucket="uploads", Key="a b", Body=body).get("VersionId") for body in (b"old", b"new")]
    if not all(names):
        pytest.skip("the S3 server keeps no versions")
    assert versions.kept(short, "uploads")
    bodies = [short.get_object(Bucket="uploads", Key="a b", VersionId=name)["Body"].read() for name in names]
    assert bodies == [b"old", b"new"] and not calls


def test_what_is_not_there_or_has_conditions_goes_the_librarys_way(clients):
    short, calls, library = clients
    with pytest.raises(ClientError) as caught:
        short.get_object(Bucket="uploads", Key="missing")
    assert access.is_missing(caught.value) and len(calls) == 1
    etag = library.put_object(Bucket="uploads", Key="x", Body=b"0123456789")["ETag"]
    assert short.get_object(Bucket="uploads", Key="x", IfMatch=etag, Range="bytes=7-")["Body"].read() == b"789" and len(calls) == 2
    with pytest.raises(ClientError) as caught:
        short.get_object(Bucket="uploads", Key="x", IfMatch='"other"')
    assert access.is_changed(caught.value) and len(calls) == 3


def test_a_broken_connection_and_an_answer_without_sense_go_the_librarys_way(clients, monkeypatch):
    short, calls, library = clients
    library.put_object(Bucket="uploads", Key="x", Body=b"content")
    send = short._endpoint.http_session.send
    for number, broken in enumerate((_closed, lambda request: _senseless(send(request))), start=1):
        answers = iter([broken, send])
        monkeypatch.setattr(short._endpoint.http_session, "send", lambda request, answers=answers: next(answers)(request))
        assert short.get_object(Bucket="uploads", Key="x")["Body"].read() == b"content" and len(calls) == number


def _closed(request):
    raise ConnectionClosedError(endpoint_url=request.url)


def _senseless(answer):
    answer.headers["Last-Modified"] = "yesterday"
    return answer
