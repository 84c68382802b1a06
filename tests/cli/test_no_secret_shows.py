"""Passwords and keys never show: a whole drill on real servers, and everything that it says, writes or passes on, scanned for canaries."""

import base64
import contextlib
import gzip
import json
import logging
import secrets
import subprocess
import sys
import threading
import urllib.parse
from pathlib import Path

import pytest
import secret_scan

import drplatform
from drplatform import environment
from drplatform.model import clock as clocks

FEATURE = Path(drplatform.__file__).parents[1] / "features/monthly/database_recovery.feature"
SECRET = "canary+with/odd=characters~7f3a"


class Watch:
    """Looks at a platform while it lives: collects its secrets, what its servers were told as arguments, and what its run has written."""

    def __init__(self, scratch: Path, clock) -> None:
        self._scratch, self._clock = scratch, clock
        self.secrets: dict[str, str] = {}
        self.arguments, self.written = set[bytes](), dict[str, bytes]()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc) -> None:
        self._stop.set()
        self._thread.join(20)

    def _run(self) -> None:
        while not self._clock.wait(self._stop, 0.1):
            with contextlib.suppress(FileNotFoundError, ValueError):
                self._look()

    def _look(self) -> None:
        self.arguments.add(secret_scan.command_lines())
        for platform in self._scratch.glob("drplatform-*/*/platform.json"):
            document = json.loads(platform.read_text())
            self.secrets |= {name: document[name] for name in ("access_key", "secret_key", "sse_key")}
            for path in [*platform.parent.glob("run/*"), *platform.parent.glob("*/log*"), *platform.parent.glob("*/*.log")]:
                if path.is_file():
                    self.written[str(path)] = path.read_bytes()


@pytest.mark.timeout(240)
def test_a_drill_shows_no_secret(home, clock, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    made, keys = {}, environment.drill_keys

    def remembered():
        found = keys()
        made["age identity"] = found.identities[0].reveal()
        return found

    monkeypatch.setattr(environment, "drill_keys", remembered)
    outside = {"AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(24), "MONGODB_PASSWORD": secrets.token_urlsafe(24)}
    for name, value in outside.items():
        monkeypatch.setenv(name, value)
    with Watch(home.scratch, clock) as watch:
        told = home("drill", "run", FEATURE)
    assert told.code == 0, told.err
    canaries = {**watch.secrets, **made, **outside}
    assert set(canaries) == {"access_key", "secret_key", "sse_key", "age identity", *outside}
    kept = {"access_key": canaries.pop("access_key")}  # names who asks, and opens nothing
    assert not secret_scan.found_in(told.out.encode() + told.err.encode() + caplog.text.encode(), canaries | kept)
    assert {Path(p).name for p in watch.written} >= {"ledger.jsonl", "faults.jsonl", "log"}, "planted: what a run writes was seen"
    assert {p: f for p, data in watch.written.items() if (f := secret_scan.found_in(data, canaries))} == {}
    assert b"mongod" in b"".join(watch.arguments) and not secret_scan.found_in(b"\n".join(watch.arguments), canaries)
    private = home.state / "keys"
    assert list(home.directory.glob("reports/*/*.html")) and (home.state / "audit.jsonl").exists()
    assert secret_scan.found_below(home.directory, canaries | kept, ignoring=[private]) == {}
    for key in private.glob("*"):
        assert key.suffix == ".pub" or key.stat().st_mode & 0o077 == 0
        if key.suffix == ".pem":
            lines = key.read_text().splitlines()
            assert secret_scan.found_below(home.directory, {"signing key": max(lines, key=len)}, ignoring=[private]) == {}


def test_keys_are_shown_to_nobody(home):
    told = home("keys", "generate")
    identity = home.state / "keys/identity.txt"
    secret = {"identity": identity.read_text().splitlines()[-1]}
    assert secret["identity"].startswith("AGE-SECRET-KEY-1") and identity.stat().st_mode & 0o777 == 0o600
    assert not secret_scan.found_in(told.out.encode() + told.err.encode(), secret)
    assert secret_scan.found_below(home.directory, secret, ignoring=[identity]) == {}


# -- the scanner finds what is planted ----------------------------------------------------------------------------------------

PLANTED = {
    "plain": SECRET,
    "hexadecimal": SECRET.encode().hex(),
    "capital hexadecimal": SECRET.encode().hex().upper(),
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "base64 for a URL": base64.urlsafe_b64encode(SECRET.encode()).decode(),
    "base64 of a user and password": base64.b64encode(f"user:{SECRET}".encode()).decode(),
    "base64 of a longer name": base64.b64encode(f"users:{SECRET}:and more".encode()).decode(),
    "base64 of a yet longer name": base64.b64encode(f"userss:{SECRET}\n".encode()).decode(),
    "base64 twice": base64.b64encode(base64.b64encode(f"user:{SECRET}".encode())).decode(),
    "gz in base64": base64.b64encode(gzip.compress(f"password: {SECRET}".encode())).decode(),
    "URL": urllib.parse.quote(SECRET, safe=""),
}


@pytest.mark.parametrize("form", PLANTED)
def test_a_planted_secret_is_found(tmp_path, form):
    canaries = {"canary": SECRET, "another": "something-else-entirely"}
    text = f'{{"key": "{PLANTED[form]}"}}'
    assert secret_scan.found_in(text.encode(), canaries) == {"canary"}
    (tmp_path / "report.json").write_text(text)
    assert secret_scan.found_below(tmp_path, canaries) == {str(tmp_path / "report.json"): {"canary"}}
    assert secret_scan.found_below(tmp_path, canaries, ignoring=[tmp_path / "report.json"]) == {}


def test_a_packed_secret_is_found(tmp_path):
    (tmp_path / "log.gz").write_bytes(b"before" + gzip.compress(b"x" * 100_000 + SECRET.encode()) + b"after")
    assert secret_scan.found_below(tmp_path, {"canary": SECRET}) == {str(tmp_path / "log.gz"): {"canary"}}
    twice = gzip.compress(gzip.compress(base64.b64encode(SECRET.encode())))
    assert secret_scan.found_in(twice, {"canary": SECRET, "another": "something-else"}) == {"canary"}


def test_a_secret_in_arguments_is_found(clock):
    with subprocess.Popen([sys.executable, "-c", "input()", SECRET], stdin=subprocess.PIPE) as planted:
        clocks.wait_for(clock, "it to be found", lambda: secret_scan.found_in(secret_scan.command_lines(), {"canary": SECRET}), within=20)
        planted.stdin.write(b"\n")


def test_what_holds_no_secret_is_clean(tmp_path):
    (tmp_path / "report.json").write_text("canary with odd characters, but not this one: canary+with/odd")
    assert secret_scan.found_below(tmp_path, {"canary": SECRET}) == {}
