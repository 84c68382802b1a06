"""One action on file storage in a process of its own, to be measured, or to be killed where it halts. Told on standard input; tells its
end, or that it halts, on standard output."""

import json
import random
import sys
import threading
from pathlib import Path

import real_servers

from drplatform.engine import backups
from drplatform.model.backup import BackupKind
from drplatform.model.ports import Address, Credentials, Endpoint, ObjectChoice
from drplatform.model.secret import Secret
from drplatform.repositories import directory
from drplatform.stores import files
from drplatform.stores.files import lease as leases

CLOCK = real_servers.CLOCK


class Halting:
    """When so many writes were done, the next one says so, and never returns."""

    def __init__(self, writes: int | None) -> None:
        self._writes, self._done, self._lock = writes, 0, threading.Lock()

    def before(self, **of_event: object) -> None:
        with self._lock:
            if self._writes is not None and self._done >= self._writes:
                print(json.dumps("halts"), flush=True)
                threading.Event().wait()

    def after(self, **of_event: object) -> None:
        with self._lock:
            self._done += 1


class HaltingRepository:
    def __init__(self, inner, halting: Halting) -> None:
        self._inner, self._halting = inner, halting

    def put(self, key: str, data: bytes, sha256: str = "") -> None:
        self._halting.before()
        self._inner.put(key, data, sha256)
        self._halting.after()

    def __getattr__(self, name: str):
        return getattr(self._inner, name)


def main() -> None:
    told = json.loads(sys.stdin.readline())
    credentials = Credentials(told["user"], Secret(told["password"]))
    endpoint = Endpoint("files", (Address("127.0.0.1", told["port"]),), {"buckets": "uploads,pdfs"}, credentials)
    halting = Halting(told["writes"])
    store, repository = files.connect(endpoint, CLOCK), HaltingRepository(directory.open(Path(told["vault"]), CLOCK), halting)
    for operation in ("PutObject", "CompleteMultipartUpload"):
        store._s3.meta.events.register(f"before-call.s3.{operation}", halting.before)
        store._s3.meta.events.register(f"after-call.s3.{operation}", halting.after)
    if told["action"] == "restore":
        leases.BEAT_SECONDS = 3600.0  # its beats are writes, too, and there are more of them where objects take long
    opener = backups.Opener([Secret(told["identity"])])
    done: dict[str, object] = {}
    if told["action"] == "take":
        manifest = backups.back_up(store, BackupKind.FULL, repository, [told["recipient"]], CLOCK, random.Random())
        done["items"] = manifest.digests["uploads"].items
    else:
        chain, lease = backups.Catalogue(repository).chain_to("files"), backups.Lease("files", store.identity())
        if told["action"] in ("restore", "resume"):
            backups.restore(chain, store, repository, opener, lease, CLOCK, resume=told["action"] == "resume")
        else:
            found = backups.reconcile(chain, store, repository, opener, lease, ObjectChoice())
            done.update(chosen=found.chosen, written=found.written)
        done["differing"] = backups.differing(opener, chain.base, store.digest())
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    done["peak"] = int(status["VmHWM"].split()[0]) // 1024  # getrusage would count the parent before the exec
    print(json.dumps(done))


if __name__ == "__main__":
    main()
