"""The reference application on real stores: uploads become PDFs, references are counted, and every service says what it cannot reach."""

import contextlib
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import threading

import pytest

from drplatform import application
from drplatform.application import clients as stores_of
from drplatform.application import documents, pdf, web
from drplatform.application import settings as settings_of
from drplatform.application import users as users_of
from drplatform.model import clock as clocks
from drplatform.model import errors, references, services
from drplatform.model.ports import Address

NEEDS = {
    "api": ("mongodb", "redis", "files"),
    "worker": ("mongodb", "redis", "files", "api"),
    "gateway": ("api",),
    "reporting": ("mongodb",),
}


def free_addresses():
    """On a loopback address of its own, which no connection is given a port of."""
    host = f"127.{random.SystemRandom().randrange(1, 255)}.{random.SystemRandom().randrange(1, 255)}.77"
    return {name: Address(host, 8001 + number) for number, name in enumerate(NEEDS)}


class Services:
    """Real processes of the application."""

    def __init__(self, stores, directory, clock):
        self.stores, self.directory, self.clock = stores, directory, clock
        self.at, self.running = free_addresses(), {}

    def start(self, *names):
        for name in names:
            self.launch(name)
        for name in names:
            assert self.up(name), self.running[name].stderr.read()

    def launch(self, name):
        file = self.directory / f"{name}.json"
        others = {n: a for n, a in self.at.items() if n != name}
        used = {kind: endpoint for kind, endpoint in self.stores.items() if kind in NEEDS[name]}
        file.write_text(json.dumps(services.settings(name, "here", NEEDS[name], used, others)))
        command = [sys.executable, "-m", "drplatform.application", name, "--listen", str(self.at[name]), "--settings", str(file)]
        self.running[name] = subprocess.Popen(command, stderr=subprocess.PIPE, env=dict(os.environ))

    def up(self, name):
        def look():
            return self.running[name].poll() is not None or web.call(self.at[name], "GET", "/healthz").status == 200

        clocks.wait_for(self.clock, f"{name} to answer", look, within=60, ignoring=(errors.StoreError,))
        return self.running[name].poll() is None

    def stop(self, name):
        self.running[name].send_signal(signal.SIGTERM)
        return self.running[name].wait(30)

    def close(self):
        for process in self.running.values():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.communicate()


@pytest.fixture
def stores(mongodb_endpoint, redis_endpoint, s3_endpoint):
    return {"mongodb": mongodb_endpoint, "redis": redis_endpoint, "files": s3_endpoint}


@pytest.fixture
def running(stores, tmp_path, clock):
    made = Services(stores, tmp_path, clock)
    try:
        made.start(*NEEDS)
        yield made
    finally:
        made.close()


@pytest.fixture
def users(stores, clock):
    with contextlib.closing(application.connect(stores, clock)) as made:
        yield made


@contextlib.contextmanager
def broken():
    """Where a service listens that answers, but does not do its work: it mixes uploads up, keeps what is removed, cuts PDFs and counts wrongly."""
    shown = {"bytes": 3, "sha256": "0" * 64}
    server = web.Server(
        Address("127.0.0.1", 0),
        (
            web.Route("POST", "/uploads", lambda request: web.said(201, id="0")),
            web.Route("GET", "/documents/0", lambda request: web.said(200, **shown)),
            web.Route("GET", "/documents/0/pdf", lambda request: web.Reply(200, b"%PDF-1.4 cut")),
            web.Route("DELETE", "/documents/0", lambda request: web.said(200)),
            web.Route("GET", "/report", lambda request: web.said(200, waiting=7, done=0)),
        ),
    )
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server.address
    finally:
        server.stop()
        thread.join()


def test_a_service_that_answers_but_does_not_do_its_work_is_found(clock):
    with contextlib.closing(application.connect({}, clock)) as users, broken() as at:
        for name in ("api", "gateway"):
            mixed, kept = users.integration_defects(name, {name: at})
            assert "another content than was uploaded: 3 bytes" in mixed and "still answers 200" in kept
        assert users.integration_defects("worker", {"api": at})
        assert users.integration_defects("billing", {}) == ["this application has no integration test of 'billing'"]
    with pytest.raises(errors.StoreError, match="Nothing answers"):
        users.integration_defects("api", {"api": at})


def words(users):
    return references.dangling(users.references()).words()


def test_uploads_become_pdfs_and_lost_jobs_and_services_are_noticed(running, users, stores, clock):
    gateway = running.at["gateway"]
    for name, address in running.at.items():
        users.health(address)
        assert users.readiness(address) == dict.fromkeys(NEEDS[name], "")
    users.populate(gateway, 3)
    before = users.references()
    assert len(before.documents) == 3 and all(d.pdf in before.pdfs and d.upload in before.uploads for d in before.documents.values())
    assert set(before.cached) == set(before.documents) and not before.jobs
    assert [users.integration_defects(name, running.at) for name in NEEDS] == [[], [], [], []]
    content = users.round_trip(gateway)
    assert users.pdf_defects(content) == []
    assert users.references() == before
    assert json.loads(web.call(running.at["reporting"], "GET", "/report").body) == {"waiting": 0, "done": 3}
    assert web.call(gateway, "GET", f"/documents/{'0' * 32}").status == 404
    assert web.call(gateway, "POST", "/elsewhere").status == 404
    assert words(users) == []
    with broken() as at, pytest.MonkeyPatch.context() as patch:
        patch.setattr(users_of, "SECONDS_TO_AGREE", 0.2)
        assert "agrees with the database" in users.integration_defects("reporting", {"reporting": at})[0]
    jobs_that_were_lost_are_taken_up_again(running, users, stores, clock)
    a_service_says_what_it_cannot_reach_and_ends_when_asked(running, users)


def jobs_that_were_lost_are_taken_up_again(running, users, stores, clock):
    assert running.stop("worker") == 0
    with contextlib.closing(stores_of.connect(stores)) as reached:
        lost = documents.take(reached, "lost job.txt", b"text")["_id"]
        reached.redis.delete(stores_of.JOBS)
        half_done = documents.take(reached, "half done.txt", b"text")["_id"]
        assert documents.next_job(reached, 1) == half_done  # by a worker that dies here
        running.start("worker")
        for id in (lost, half_done):
            clocks.wait_for(clock, f"the PDF of {id}", lambda id=id: documents.fetch_pdf(reached, id), within=30)
        clocks.wait_for(clock, "no job to be left", lambda: not users.references().jobs, within=30)
    assert words(users) == []


def a_service_says_what_it_cannot_reach_and_ends_when_asked(running, users):
    assert running.stop("api") == 0
    assert "api" not in users.readiness(running.at["reporting"])
    assert "Nothing answers" in users.readiness(running.at["gateway"])["api"]
    assert web.call(running.at["gateway"], "POST", "/uploads", b"x").status == 503
    with pytest.raises(errors.StoreError, match="Nothing answers"):
        users.health(running.at["api"])
    assert [running.stop(name) for name in ("gateway", "worker", "reporting")] == [0, 0, 0]


def test_each_kind_of_dangling_reference_is_counted(stores, users):
    with contextlib.closing(stores_of.connect(stores)) as reached:
        ids = [documents.take(reached, f"{n}.txt", b"text")["_id"] for n in range(5)]
        for _ in ids:
            id = documents.next_job(reached, 1)
            assert documents.work(reached, id)
            documents.finish(reached, id)
            assert documents.read(reached, id)["version"] == 2  # and so there is a cached copy
        assert references.dangling(users.references()).count == 0
        whole = reached.documents.find_one({"_id": ids[0]})
        reached.files.delete_object(Bucket="uploads", Key=whole["upload"])
        reached.files.delete_object(Bucket="pdfs", Key=f"application/{ids[1]}.pdf")
        reached.documents.update_one({"_id": ids[2]}, {"$set": {"version": 1}})
        reached.documents.delete_one({"_id": ids[3]})
        reached.redis.lpush(stores_of.JOBS, ids[3])
        found = references.dangling(users.references())
    assert found.without_upload == (ids[0],)
    assert found.without_pdf == (ids[1],)
    assert found.cached_ahead == tuple(sorted((ids[2], ids[3])))
    assert found.jobs_without_document == (ids[3],)
    assert len(found.words()) == 4 and found.count == 5


def test_every_planted_reference_is_caught_by_its_own_kind():
    empty = references.References({}, {}, set(), set(), set())
    found = [references.dangling(one) for one in references.planted(empty)]
    assert [[kind for kind, ids in vars(one).items() if ids] for one in found] == [
        ["without_upload"],
        ["without_pdf"],
        ["cached_ahead"],
        ["jobs_without_document"],
    ]


def test_damaged_pdfs_are_noticed():
    document = {"name": "näme \u2603 \x00.txt", "bytes": 3, "sha256": "0" * 64}
    whole = pdf.render(document, "plain, ünicode \u2603 and\ttabs\n".encode() + bytes(range(256)))
    assert pdf.defects(whole) == []
    at = whole.index(b"stream") + 30
    flipped = whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]
    assert pdf.defects(whole[:-30]) and pdf.defects(whole[1:]) and pdf.defects(flipped) and pdf.defects(b"")


def test_settings_hold_keys_and_never_tell_them(tmp_path, s3_endpoint):
    file = tmp_path / "api.json"
    file.write_text(json.dumps(services.settings("api", "primary", ("files",), {"files": s3_endpoint}, {"worker": Address("h", 1)})))
    read = settings_of.read(file)
    assert read.stores["files"] == dataclasses.replace(s3_endpoint, options=dict(s3_endpoint.options))
    assert read.services == {"worker": Address("h", 1)}
    assert s3_endpoint.credentials.password.reveal() not in repr(read)
    file.write_text(file.read_text()[:-20])
    with pytest.raises(errors.SettingsError, match="deploy the service again") as caught:
        settings_of.read(file)
    assert s3_endpoint.credentials.password.reveal() not in str(caught.value)


def test_a_wrong_start_is_one_sentence(tmp_path):
    command = [sys.executable, "-m", "drplatform.application", "api", "--listen", "127.0.0.1:0", "--settings", str(tmp_path / "none.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "deploy the service again" in done.stderr
