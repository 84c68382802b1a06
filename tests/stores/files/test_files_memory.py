"""Memory does not grow with the data: an object of 60 MiB and thousands of small ones pass through a process that is measured."""

import json
import subprocess
import sys
from pathlib import Path

from drplatform.stores import files

OBJECT_MIB = 60
GROWTH_MIB = 48

SCRIPT = """
import contextlib, json, resource, sys
sys.path[:0] = sys.argv[2:]
from real_servers import CLOCK
from drplatform.model.backup import BackupKind
from drplatform.model.ports import Address, Credentials, Endpoint
from drplatform.model.secret import Secret
from drplatform.stores import files

user, password, *ports = json.loads(sys.stdin.readline())
def store(port):
    options = {"buckets": "uploads,pdfs"}
    return files.connect(Endpoint("files", (Address("127.0.0.1", port),), options, Credentials(user[port == ports[1]], Secret(password[port == ports[1]]))), CLOCK)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

source, target = map(store, ports)
source.digest(), target.digest(), source.identity(), target.identity()
from drplatform.stores.files import content, upload
for each in (source, target):
    upload.put(each._s3, "uploads", content.Header(".drplatform/warm", 17 * 2**20, "", "", "text/plain"), bytes(17 * 2**20))
before = peak()
with source.dump() as dump, target.restore() as restore:
    for part in dump.parts():
        restore.load(BackupKind.FULL, part.name, part.blocks())
    restore.loaded()
    end = dump.finish()
    assert restore.finish().digests == end.digests
print(json.dumps([before, peak(), end.counts]))
"""


def test_memory_is_bounded(s3_endpoint_pair, clock):
    source = files.connect(s3_endpoint_pair[0], clock)
    header = files.content.Header("huge", OBJECT_MIB * 2**20, "", "", "text/plain")
    source.identity()
    files.upload.put(source._s3, "uploads", header, b"\x07" * header.size)
    source.close()
    tell = [
        [endpoint.credentials.user for endpoint in s3_endpoint_pair],
        [endpoint.credentials.password.reveal() for endpoint in s3_endpoint_pair],
        *(endpoint.addresses[0].port for endpoint in s3_endpoint_pair),
    ]
    tests = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", SCRIPT, "-", tests]
    ended = subprocess.run(command, input=json.dumps(tell), capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stderr
    before, after, counts = json.loads(ended.stdout)
    assert counts["bytes"] == header.size
    assert after - before < GROWTH_MIB, f"{before} MiB before, {after} MiB after"
    print(f"peak {before} MiB before, {after} MiB after")
