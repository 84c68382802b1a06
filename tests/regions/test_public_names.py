"""Public names changed by signed updates at real name servers: ours, Knot and BIND."""

import base64
import contextlib
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import pytest
from real_servers import CLOCK, _die_with_parent, free_ports

from drplatform.model import clock as clocks
from drplatform.model import errors
from drplatform.model.ports import Address, Credentials, NameServer
from drplatform.model.secret import Secret
from drplatform.traffic import rfc2136

ZONE, KEY = "drill.test.", "drill."
HERE, THERE, BOTH = (Address("127.0.0.7", 4001),), (Address("127.0.0.8", 4002),), (Address("127.0.0.7", 1), Address("127.0.0.8", 2))
RECORDS = f"$ORIGIN {ZONE}\n@ 60 IN SOA ns hostmaster 1 60 60 600 1\n@ 60 IN NS ns\nns 60 IN A 127.0.0.1\n"
KNOT = """
server:
    listen: 127.0.0.1@{port}
    rundir: {directory}
    pidfile: {directory}/pid
database:
    storage: {directory}
key:
  - id: {key}
    algorithm: hmac-sha256
    secret: {secret}
acl:
  - id: changes
    key: {key}
    action: update
zone:
  - domain: {zone}
    file: {directory}/zone
    acl: changes
    zonefile-sync: 0
control:
    listen: {directory}/control
"""
BIND = """
options {{ directory "{directory}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; dnssec-validation no;
  pid-file "{directory}/pid"; session-keyfile "{directory}/session.key"; managed-keys-directory "{directory}"; notify no; }};
controls {{ }};
key "{key}" {{ algorithm hmac-sha256; secret "{secret}"; }};
zone "{zone}" {{ type master; file "{directory}/zone"; update-policy {{ grant {key} zonesub any; }}; }};
"""


class Named:
    """One name server process with a zone of its own."""

    def __init__(self, kind: str, directory: Path) -> None:
        self.directory, self.secret = directory, base64.b64encode(secrets.token_bytes(32)).decode()
        (directory / "zone").write_text(RECORDS)
        (self.port,) = free_ports(1)
        self.command = getattr(self, f"_{kind}")()
        self.start()

    def start(self) -> None:
        log = (self.directory / "log").open("ab")
        self.process = subprocess.Popen(self.command, stdout=log, stderr=log, preexec_fn=_die_with_parent)
        clocks.wait_for(CLOCK, "the name server to answer", self._answers, within=30, ignoring=(OSError, dns.exception.DNSException))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def names(self, secret: str | None = None, ttl: float = 3.0) -> rfc2136.Names:
        key = Credentials(KEY, Secret(secret or self.secret))
        return rfc2136.connect(NameServer("rfc2136", Address("127.0.0.1", self.port), ZONE, ttl, key), CLOCK)

    def _answers(self) -> bool:
        query = dns.message.make_query(ZONE, "SOA")
        return bool(dns.query.udp(query, "127.0.0.1", timeout=0.5, port=self.port).answer)

    def _ours(self) -> list[str]:
        (self.directory / "key").write_text(f"{KEY} {self.secret}\n")
        program = [sys.executable, "-m", "drplatform.platforms.embedded.authoritative", "--listen", f"127.0.0.1:{self.port}"]
        return [*program, "--zone", str(self.directory / "zone"), "--key", str(self.directory / "key")]

    def _knot(self) -> list[str]:
        return [_found("knotd"), "-c", self._written("knot.conf", KNOT)]

    def _bind(self) -> list[str]:
        return [_found("named"), "-f", "-c", self._written("named.conf", BIND)]

    def _written(self, name: str, text: str) -> str:
        file = self.directory / name
        file.write_text(text.format(port=self.port, directory=self.directory, key=KEY, secret=self.secret, zone=ZONE))
        return str(file)


def _found(program: str) -> str:
    where = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    if not (found := shutil.which(program, path=where)):
        pytest.skip(f"needs the name server {program} on PATH (packages knot, bind9)")
    return found


@pytest.fixture(params=["ours", "knot", "bind"])
def named(request, tmp_path):
    tmp_path.chmod(0o755)
    made = Named(request.param, tmp_path)
    with contextlib.closing(_Closing(made)):
        yield made


class _Closing:
    def __init__(self, named: Named) -> None:
        self.close = named.kill


def test_a_name_points_where_it_was_told_and_moves_as_a_whole(named):
    names = named.names()
    names.point("redis", HERE)
    assert names.lookup("redis").addresses == HERE and names.lookup("redis").ttl == 3.0
    names.point("redis", BOTH)
    assert set(names.lookup("redis").addresses) == set(BOTH)
    names.point("redis", THERE)
    names.point("redis", THERE)
    assert names.lookup("redis").addresses == THERE


def test_a_wrong_key_changes_nothing_and_is_told_without_its_secret(named):
    named.names().point("redis", HERE)
    wrong = base64.b64encode(secrets.token_bytes(32)).decode()
    with pytest.raises(errors.StoreError, match="is the TSIG key right") as told:
        named.names(wrong).point("redis", THERE)
    assert wrong not in str(told.value) and named.secret not in str(told.value)
    assert named.names().lookup("redis").addresses == HERE


def test_what_was_acknowledged_survives_kill_9(named):
    for number in range(1, 6):
        named.names().point("redis", (Address("127.0.0.9", number),))
    named.kill()
    with pytest.raises(errors.StoreError, match="is it up"):
        named.names().lookup("redis", 0.5)
    named.start()
    assert named.names().lookup("redis").addresses == (Address("127.0.0.9", 5),)


def test_a_name_that_was_never_set_is_said_to_be_unknown(named):
    with pytest.raises(errors.StoreError, match="was it ever set"):
        named.names().lookup("mongodb")


def test_a_key_that_is_none_is_refused_before_anything_is_asked():
    server = NameServer("rfc2136", Address("127.0.0.1", 1), ZONE, 3.0, Credentials(KEY, Secret("no base64!")))
    with pytest.raises(errors.SettingsError, match="no base64") as told:
        rfc2136.connect(server, CLOCK)
    assert "no base64!" not in str(told.value)
