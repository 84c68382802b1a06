"""The command line of an S3 server (SeaweedFS `weed mini`), its identities file, and how one sees that it serves."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from drplatform.model.ports import Address
from drplatform.model.secret import Secret
from drplatform.platforms.embedded import layout, lease

AWS_REGION = "us-east-1"
MEMORY_LIMIT = "768MiB"
"""A ceiling, not a goal: near its limit (320 MiB when idle) the collector takes an eighth of a core and more."""
_FIXED = (
    "-master.telemetry=false",  # on unless switched off
    "-webdav=false",
    "-admin.ui=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-master.electionTimeout=1s",
    "-volume.preStopSeconds=0",
    "-s3.iam.readOnly=false",
    "-s3.autoCreateBucket=false",
)


class Weed:
    """One S3 server with one identity that may do everything. Keys are in a private file and the environment, never in arguments."""

    transient: tuple[type[Exception], ...] = (OSError,)  # urllib.error.URLError and HTTPError are OSErrors

    def __init__(self, program: Path, buckets: Iterable[str], access_key: str, secret_key: Secret, sse_key: Secret) -> None:
        self._program, self._buckets = program, tuple(buckets)
        self._access_key, self._secret_key, self._sse_key = access_key, secret_key, sse_key

    def command(self, place: layout.Place, port: int, disk: Path, settings: Mapping[str, str]) -> list[str]:
        beside = disk.parent
        ports = {**{name: p for name, p in place.ports.items() if ".port" in name}, "s3.port": port}
        self._write_identities(beside / "ids.json")
        _note_outside(beside, ports, place.ports[layout.DOOR])
        command = [str(self._program), f"-logdir={beside}", "-stderrthreshold=ERROR", "-alsologtostderr=false", "mini", f"-dir={disk}"]
        command += [f"-ip={place.host}", f"-ip.bind={place.host}", *(f"-{name}={p}" for name, p in ports.items()), *_FIXED]
        command += [f"-s3.config={beside / 'ids.json'}", f"-bucket={','.join(self._buckets)}"]
        return [
            *command,
            "-filer.localSocket=filer.sock",
            "-s3.localSocket=s3.sock",
        ]  # in its working directory: the path of a socket is short

    def door(self, place: layout.Place, directory: Path) -> list[str]:
        """The command line of a further S3 gateway, at the public address, before the files of a running server."""
        filer = f"{place.host}:{place.ports['filer.port']}.{place.ports['filer.port.grpc']}"
        command = [str(self._program), f"-logdir={directory}", "-stderrthreshold=ERROR", "-alsologtostderr=false", "s3", f"-filer={filer}"]
        command += [f"-ip.bind={place.host}", f"-port={place.ports[layout.PUBLIC]}", f"-port.grpc={place.ports[layout.DOOR]}"]
        command += ["-port.iceberg=0", "-port.lance=0", f"-config={directory / 'ids.json'}", "-iam.readOnly=false"]
        return [*command, "-autoCreateBucket=false", "-localSocket=door.sock"]

    def environment(self) -> Mapping[str, str]:
        return {"GOMEMLIMIT": MEMORY_LIMIT, "WEED_S3_SSE_KEY": self._sse_key.reveal(), "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}

    def answers(self, place: layout.Place, address: Address) -> bool:
        """Our key opens every bucket, and a file can be written (beside the buckets, through the filer).

        The gateway is asked about a bucket only when the filer has it: it remembers for a quarter of an hour that a bucket was missing,
        and does not always notice when it is made at that very moment.
        """
        filer = f"http://{place.host}:{place.ports['filer.port']}"
        for bucket in self._buckets:
            _request(urllib.request.Request(f"{filer}/buckets/{bucket}/?limit=1"))
        for bucket in self._buckets:
            self._head(f"http://{address}/{bucket}")
        ready = f"{filer}/drplatform-ready"
        _request(urllib.request.Request(ready, method="PUT", data=b"ready", headers={"Content-Type": "text/plain"}))
        return True

    def _head(self, url: str) -> None:
        signed = AWSRequest("HEAD", url)
        S3SigV4Auth(Credentials(self._access_key, self._secret_key.reveal()), "s3", AWS_REGION).add_auth(signed)
        _request(urllib.request.Request(url, method="HEAD", headers=dict(signed.headers)))

    def _write_identities(self, file: Path) -> None:
        credentials = {"accessKey": self._access_key, "secretKey": self._secret_key.reveal()}
        everything = ["Admin", "Read", "List", "Tagging", "Write"]
        file.touch(mode=0o600)
        file.write_text(json.dumps({"identities": [{"name": "drplatform", "credentials": [credentials], "actions": everything}]}))


def _request(request: urllib.request.Request) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy: these are our own addresses
    with opener.open(request, timeout=2) as response:
        response.read()


def _note_outside(directory: Path, ports: Mapping[str, int], door: int) -> None:
    """weed puts a socket into /tmp for each gRPC port, whatever it is told: note them, so that they can be removed."""
    sockets = [f"/tmp/seaweedfs-{name.split('.')[0]}-grpc-{port}.sock" for name, port in ports.items() if name.endswith("grpc")]
    sockets.append(f"/tmp/seaweedfs-s3-grpc-{door}.sock")
    (directory / lease.OUTSIDE).write_text("\n".join(sockets) + "\n")
