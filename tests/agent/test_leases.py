"""One holder at a time: at a directory and at a real S3 server, with many that try."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from drplatform import environment
from drplatform.engine import leases
from drplatform.engine.leases import SKEW, TERM, Lease
from drplatform.model import errors
from drplatform.model.clock import FakeClock
from drplatform.repositories import memory


@pytest.fixture(params=["directory", "s3"])
def repository(request, tmp_path, clock):
    if request.param == "directory":
        return environment.repository(tmp_path, clock)
    import dataclasses

    endpoint = request.getfixturevalue("s3_endpoint")
    return environment.repository(dataclasses.replace(endpoint, options={**endpoint.options, "bucket": "uploads"}), clock)


def test_of_many_that_try_at_once_one_holds_it(repository, clock):
    begin, won = threading.Barrier(8), []

    def attempt(number):
        lease = Lease("capture-mongodb", f"agent-{number}", repository, clock)
        begin.wait()
        if lease.acquire():
            won.append(number)

    threads = [threading.Thread(target=attempt, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert Lease("capture-mongodb", "", repository, clock).holder_now() == f"agent-{won[0]}"


def make(holder, clock, repository):
    return Lease("job", holder, repository, clock)


def test_it_is_renewed_taken_over_when_it_ran_out_and_given_up():
    clock, repository = FakeClock(datetime(2026, 1, 1, tzinfo=UTC)), memory.MemoryRepository(FakeClock())
    one, two = make("one", clock, repository), make("two", clock, repository)
    for _ in range(10):
        assert one.acquire() and not two.acquire()
        clock.advance(TERM.total_seconds() / 3)
    assert len(list(repository.list("leases/"))) <= 4
    clock.advance((TERM + SKEW - timedelta(seconds=11)).total_seconds())
    assert not two.acquire()
    clock.advance(12)
    assert two.acquire() and not one.acquire()
    one.release()
    assert two.holder_now() == "two"
    two.release()
    assert one.acquire()


def test_an_unreadable_lease_is_said_and_not_taken():
    clock, repository = FakeClock(), memory.MemoryRepository(FakeClock())
    repository.put("leases/job/000000000001", b"rubbish")
    with pytest.raises(errors.IntegrityError, match="leases/job/000000000001"):
        make("one", clock, repository).acquire()


def test_what_is_done_is_taken_by_nobody_before_its_time_not_even_by_who_did_it():
    clock, repository = FakeClock(datetime(2026, 1, 1, tzinfo=UTC)), memory.MemoryRepository(FakeClock())
    one, two = make("one", clock, repository), make("two", clock, repository)
    assert one.acquire()
    one.close(clock.utc() + timedelta(hours=2))
    one.release()
    clock.advance(3600)
    assert not one.acquire() and not two.acquire() and not one.holder_now()
    clock.advance(3600 + SKEW.total_seconds())
    assert two.acquire()


def test_of_leases_of_a_time_the_last_few_are_left_and_others_are_not_touched():
    repository = memory.MemoryRepository(FakeClock())
    for hour in range(8):
        for name in ("job-full", "job-full-2"):
            repository.put(f"leases/{name}-20260101T{hour:02}00/000000000001", b"{}")
    leases.forget(repository, "job-full-20260101T0600")
    left = [info.key.split("/")[1] for info in repository.list("leases/")]
    assert [name for name in left if not name.startswith("job-full-2-")] == [f"job-full-20260101T{hour:02}00" for hour in (4, 5, 6, 7)]
    assert len([name for name in left if name.startswith("job-full-2-")]) == 8
