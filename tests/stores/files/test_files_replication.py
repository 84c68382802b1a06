"""Replication: what is written, changed and deleted in the primary comes to the secondary, also what happened while nobody followed."""

import contextlib
import dataclasses
import random
import socket
import threading

import pytest
import real_servers

from drplatform.model import errors
from drplatform.model.ports import Address
from drplatform.stores import files


@pytest.fixture
def pair(s3_endpoint_pair, clock):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(files.connect(endpoint, clock))) for endpoint in s3_endpoint_pair]


@pytest.fixture
def following(pair):
    """A follower, pass by pass."""
    stop = threading.Event()
    yield pair[0].replicate(pair[1], stop, every=0.01)
    stop.set()


def test_all_changes_come_in_the_next_pass_with_their_lag(pair, following, s3_endpoint_pair):
    source, target = pair
    source.seed(2, 12)
    first = next(following)
    assert (first.copied, first.deleted, first.problem, first.refused) == (12, 0, "", ())
    assert source.digest() == target.digest()
    assert next(following).copied == 0
    s3 = real_servers.s3_client(s3_endpoint_pair[0])
    s3.put_object(Bucket="uploads", Key="new", Body=b"1" * 100, Metadata={"a": "b"}, Tagging="t=1")
    key = next(entry["Key"] for entry in s3.list_objects_v2(Bucket="uploads", Prefix="users/")["Contents"])
    s3.put_object(Bucket="uploads", Key=key, Body=b"changed")
    for entry in s3.list_objects_v2(Bucket="pdfs", Prefix="users/")["Contents"][:2]:
        s3.delete_object(Bucket="pdfs", Key=entry["Key"])
    found = next(following)
    assert (found.copied, found.deleted, found.bytes) == (2, 2, 107)
    assert source.digest() == target.digest()
    assert all(-1 < lag < 60 for lag in found.lags) and 0 < found.delete_lag < 60
    assert found.as_of > first.as_of
    print(f"lags {found.lags} s, deletes at most {found.delete_lag:.3f} s")


def test_what_happened_while_nobody_followed_is_made_up_for(pair, following, s3_endpoint_pair):
    source, target = pair
    source.seed(2, 8)
    next(following)
    s3 = real_servers.s3_client(s3_endpoint_pair[0])
    gone = next(entry["Key"] for entry in s3.list_objects_v2(Bucket="pdfs", Prefix="users/")["Contents"])
    s3.delete_object(Bucket="pdfs", Key=gone)
    s3.put_object(Bucket="uploads", Key="meanwhile", Body=b"1")
    again = next(source.replicate(target, threading.Event()))
    assert (again.copied, again.deleted) == (1, 1)
    assert source.digest() == target.digest()


def test_a_primary_that_is_away_deletes_nothing_and_is_waited_for(pair, clock):
    server = real_servers.start_s3()
    try:
        source, target = files.connect(server.endpoint, clock), pair[1]
        source.seed(random.Random(1).randrange(99), 4)
        stop = threading.Event()
        following = source.replicate(target, stop, every=0.01)
        whole = next(following)
        server.kill()
        away = next(following)
        assert away.problem and (away.copied, away.deleted, away.as_of) == (0, 0, whole.as_of)
        assert sum(found.items for found in target.digest().values()) == 4
        stop.set()
    finally:
        server.close()


def test_the_source_itself_and_other_buckets_are_refused(pair, s3_endpoint_pair, clock):
    with pytest.raises(errors.TargetRefused, match="itself"):
        pair[0].replicate(files.connect(s3_endpoint_pair[0], clock), threading.Event())
    other = dataclasses.replace(s3_endpoint_pair[1], options={"buckets": "uploads"})
    with pytest.raises(errors.TargetRefused, match="pdfs"):
        pair[0].replicate(files.connect(other, clock), threading.Event())


@pytest.mark.timeout(60)
def test_a_source_that_never_answers_is_given_up_once_patience_is_over(s3_endpoint_pair, clock):
    """As a region does that packets no longer reach. Without patience four tries would take four minutes, and a failover waits for them."""
    with contextlib.ExitStack() as stack:
        hole = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        silent = dataclasses.replace(
            s3_endpoint_pair[0], addresses=(Address(*hole.getsockname()),), options={**s3_endpoint_pair[0].options, "patience": "0.5"}
        )
        source, target = (stack.enter_context(contextlib.closing(files.connect(e, clock))) for e in (silent, s3_endpoint_pair[1]))
        with pytest.raises(errors.StoreError, match=r"(?i)timeout"):
            next(source.replicate(target, threading.Event(), every=0.01))
