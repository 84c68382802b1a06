"""Taking backups: what is no backup is never listed as one, stages keep their order, memory is bounded, the first error is told."""

import contextlib
import itertools
import random
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import backup_cases as cases
import pytest

from drplatform.engine import backups
from drplatform.engine.backups import sealing, writer
from drplatform.model import clock as clocks
from drplatform.model import errors
from drplatform.model.backup import BackupKind, Chain
from drplatform.model.memory import MemoryServer
from drplatform.model.ports import BLOCK_BYTES, DumpEnd, Part
from drplatform.model.position import Position
from drplatform.repositories import directory
from drplatform.repositories.memory import MemoryRepository

HERE = Position("t", (1,), 0.0)
LOST = errors.StoreError("the vault is gone")


class Parts:
    """A store whose dump is made of the parts given."""

    name = kind = cases.NAME

    def __init__(self, *parts: Part) -> None:
        self._parts = parts

    def identity(self):
        return "parts"

    def version(self):
        return "1"

    @contextlib.contextmanager
    def dump(self):
        yield self

    def parts(self):
        yield from self._parts

    def finish(self):
        return DumpEnd(HERE, HERE)


def part(name, stage, *blocks):
    return Part(name, stage, lambda: iter(blocks))


def listed(repository):
    listing = backups.Catalogue(repository).read()
    return listing.manifests, listing.problems


@pytest.mark.parametrize("stored", [False, True], ids=["before", "after"])
def test_a_job_that_dies_at_any_put_leaves_no_backup(clock, stored):
    """Save at the very last, when the manifest is there although its acknowledgement was lost."""
    whole = cases.Failing(MemoryRepository(), lambda n, key: False, LOST)
    cases.take(cases.source(clock), whole, clock)
    assert whole.puts >= 5
    for fatal in range(1, whole.puts + 1):
        inner = MemoryRepository()
        with pytest.raises(errors.StoreError) as raised:
            cases.take(cases.source(clock), cases.Failing(inner, lambda n, key, fatal=fatal: n == fatal, LOST, stored=stored), clock)
        assert raised.value is LOST
        last = stored and fatal == whole.puts
        assert [len(found) for found in listed(inner)] == [int(last), 0]


def test_a_whole_job_is_listed(clock):
    repository = MemoryRepository(clock)
    manifest = cases.take(cases.source(clock), repository, clock)
    assert listed(repository) == ((manifest,), ())


def test_the_manifest_is_put_last(clock):
    order = []
    repository = cases.Failing(MemoryRepository(), lambda n, key: bool(order.append(key)), LOST)
    cases.take(cases.source(clock, items=60), repository, clock)
    assert [key.endswith("manifest.json") for key in order] == [False] * (len(order) - 1) + [True]


JOB = textwrap.dedent("""
    import sys, random
    from pathlib import Path
    from datetime import datetime, UTC
    import time, threading
    sys.path[:0] = [{tests!r}]
    import backup_cases as cases
    from drplatform.repositories import directory

    class Clock:
        monotonic = staticmethod(time.monotonic)
        utc = staticmethod(lambda: datetime.now(UTC))
        wait = staticmethod(lambda event, seconds: event.wait(seconds))

    class Telling:
        def __init__(self, inner): self.inner, self.count, self.lock = inner, 0, threading.Lock()
        def put(self, key, data, sha256=""):
            with self.lock:
                self.count += 1
                print(self.count, flush=True)
                if sys.stdin.readline() == "die\\n":
                    threading.Event().wait()
                self.inner.put(key, data)

    repository = directory.open(Path(sys.argv[1]), Clock())
    cases.RECIPIENT = sys.argv[2]
    cases.take(cases.source(Clock()), Telling(repository), Clock())
    print("done", flush=True)
""").format(tests=str(Path(__file__).parent))


def killed_at(fatal, place, recipient):
    """Run a job in a process of its own, with SIGKILL at its n-th put; how many it did by then."""
    with subprocess.Popen(
        [sys.executable, "-c", JOB, str(place), recipient], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as job:
        for number in itertools.count(1):
            if job.stdout.readline() == "done\n":
                return number - 1
            dying = number == fatal
            job.stdin.write("die\n" if dying else "go\n")
            job.stdin.flush()
            if dying:
                job.send_signal(signal.SIGKILL)
                assert job.wait() == -signal.SIGKILL
                return number
    raise AssertionError("unreachable")


def test_a_killed_process_leaves_no_backup_and_the_next_job_works(clock, tmp_path):
    puts = killed_at(0, tmp_path / "whole", cases.RECIPIENT)
    assert puts >= 5 and len(listed(directory.open(tmp_path / "whole", clock))[0]) == 1
    for fatal in (1, puts // 2, puts):
        repository = directory.open(tmp_path / str(fatal), clock)
        assert killed_at(fatal, tmp_path / str(fatal), cases.RECIPIENT) == fatal
        assert listed(repository) == ((), ())
        manifest = cases.take(cases.source(clock), repository, clock)
        assert listed(repository) == ((manifest,), ())


@pytest.mark.parametrize("recipients", [[], ["age1nonsense"], [""], [cases.RECIPIENT, "x"]])
def test_without_valid_recipients_nothing_is_read_or_written(clock, recipients):
    repository = cases.Failing(MemoryRepository(), lambda n, key: True, AssertionError("written"))

    class Untouchable(Parts):
        def dump(self):
            raise AssertionError("read")

    with pytest.raises(errors.SettingsError):
        backups.back_up(Untouchable(), BackupKind.FULL, repository, recipients, clock, random.Random())


def test_parts_of_a_higher_stage_are_read_after_all_of_the_lower_ones(clock):
    reading, order, lock = set(), [], threading.Lock()

    def watched(name, stage):
        def blocks():
            with lock:
                assert not any(other < stage for other, _ in reading)
                reading.add((stage, name))
            yield name.encode()
            with lock:
                reading.discard((stage, name))
                order.append(stage)

        return Part(name, stage, blocks)

    parts = [watched(f"{stage}/{n}", stage) for stage in range(3) for n in range(6)]
    manifest = cases.take(Parts(*parts), MemoryRepository(), clock)
    assert order == sorted(order) and len(manifest.chunks) == 18


def test_a_part_without_a_block_is_not_kept(clock):
    """As ports.Part says: that there is something empty belongs into a part that has blocks."""
    repository = MemoryRepository()
    manifest = cases.take(Parts(part("catalogue", 0, b"x"), part("data/nothing", 1)), repository, clock)
    loaded = loads(manifest, repository, clock)
    assert loaded == {"catalogue": [b"x"]}
    assert [chunk.part for chunk in manifest.chunks] == ["catalogue"]


def loads(manifest, repository, clock):
    """What the `load` of a store is handed at the restore of the backup."""
    found = {}

    class Loading:
        def load(self, kind, name, blocks):
            found[name] = list(blocks)

        def loaded(self, last): ...

        def finish(self):
            return None

    class Target(cases.MemoryStore):
        @contextlib.contextmanager
        def restore(self):
            yield Loading()

    server = MemoryServer()
    target = Target(lambda: server, clock, cases.NAME)
    backups.restore(Chain(manifest), target, repository, cases.OPENER, backups.Lease(cases.NAME, target.identity()), clock)
    return found


def test_a_failing_part_ends_the_job_with_its_own_error_while_others_stop(clock):
    """The other parts are endless: the job ends only because they are stopped."""
    broken = errors.StoreError("the cursor was killed")

    def endless():
        while True:
            yield b"x" * 1000

    def fails():
        yield b"begun"
        raise broken

    repository = MemoryRepository()
    with pytest.raises(errors.StoreError) as raised:
        cases.take(Parts(Part("a", 0, endless), Part("b", 0, fails), Part("c", 0, endless)), repository, clock)
    assert raised.value is broken
    assert listed(repository) == ((), ())


def test_a_failure_is_noticed_although_the_dump_never_stops_making_parts(clock):
    """Fewer parts than workers run at a time here, so that nobody waits for them to end."""
    broken = errors.StoreError("the cursor was killed")

    def fails():
        raise broken
        yield

    made = []

    class Lazy(Parts):
        def parts(self):
            yield Part("broken", 0, fails)
            for number in range(1000):
                made.append(number)
                yield part(f"part/{number}", 0, b"x")

    with pytest.raises(errors.StoreError) as raised:
        cases.take(Lazy(), MemoryRepository(), clock, workers=4)
    assert raised.value is broken and len(made) < 100


def test_what_could_not_be_stored_ends_the_backup_although_its_part_was_read_before_and_others_are_still_read(clock):
    begun, lost, read = threading.Event(), threading.Event(), []

    def long():
        begun.wait(30)  # the other part's chunk is the first
        for number in range(2_000):
            yield b"long"
            read.append(number)
            lost.wait(30)

    class Losing(cases.Failing):
        def put(self, key, data, sha256=""):
            begun.set()
            try:
                clock.wait(threading.Event(), 0.05)  # until the part was read
                super().put(key, data, sha256)
            finally:
                lost.set()

    repository = Losing(MemoryRepository(), lambda number, key: key.endswith("/000001"), LOST)
    with pytest.raises(type(LOST)) as raised:
        cases.take(Parts(part("short", 0, b"short"), Part("long", 0, long)), repository, clock, workers=2)
    assert raised.value is LOST and len(read) < 100
    assert listed(repository) == ((), ())


def test_a_store_that_cannot_be_finished_leaves_no_backup(clock):
    class Unfinished(Parts):
        def finish(self):
            raise errors.StoreError("the log was overrun")

    repository = MemoryRepository()
    with pytest.raises(errors.StoreError, match="overrun"):
        cases.take(Unfinished(part("a", 0, b"1")), repository, clock)
    assert listed(repository) == ((), ()) and len(cases.objects(repository)) == 1


def test_a_block_that_could_never_be_opened_again_is_refused_when_it_is_sealed():
    key = backups.DataKey.make([cases.RECIPIENT])
    identity = sealing.chunk_identity("b", "p", 0, 0, 0)
    with pytest.raises(errors.StoreError, match="cut"):
        key.seal(bytes(sealing.PLAIN_LIMIT + 1), identity)
    largest = bytes(sealing.PLAIN_LIMIT)
    sealed = key.seal(largest, sealing.chunk_identity("b", "p", 0, 0, len(largest)))
    assert key.open(sealed, sealing.chunk_identity("b", "p", 0, 0, len(largest)), len(largest), "it") == largest


def test_blocks_in_memory_are_bounded_however_large_the_store_is(clock):
    """Counted exactly: blocks handed out and not yet stored, at a vault slower than the store."""
    seen = {"now": 0, "most": 0}
    lock = threading.Lock()

    def counted(n):
        for _ in range(40):
            with lock:
                seen["now"] += 1
                seen["most"] = max(seen["most"], seen["now"])
            yield n.to_bytes(4) * 250

    class Slow(cases.Failing):
        def put(self, key, data, sha256=""):
            clock.wait(threading.Event(), 0.001)
            super().put(key, data, sha256)
            if "/chunks/" in key:
                with lock:
                    seen["now"] -= 1

    repository = Slow(MemoryRepository(), lambda n, key: False, LOST)
    parts = [Part(f"{n}", 0, lambda n=n: counted(n)) for n in range(8)]
    manifest = cases.take(Parts(*parts), repository, clock)
    assert len(manifest.chunks) == 320 and seen["now"] == 0
    assert 1 < seen["most"] <= 2 * writer.WORKERS
    assert 3 * writer.WORKERS * BLOCK_BYTES <= 160 * 1024 * 1024


def test_a_backup_larger_than_its_bound_of_memory(clock, tmp_path):
    """Measured: 320 MiB that do not compress, in a process of their own, that may not grow by more than 160 MiB; and back."""
    script = textwrap.dedent(f"""
        import sys, os, resource
        sys.path[:0] = [{str(Path(__file__).parent)!r}]
        import backup_cases as cases, test_backups_writing as tests
        from pathlib import Path
        from drplatform.model.ports import BLOCK_BYTES, Part
        from drplatform.repositories import directory
        clock = tests.Now()
        one = os.urandom(BLOCK_BYTES)
        def blocks():
            for n in range(8):
                yield n.to_bytes(4) + one[4:]
        def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        repository = directory.open(Path(sys.argv[1]), clock)
        before = peak()
        manifest = cases.take(tests.Parts(*(Part(str(n), 0, blocks) for n in range(5))), repository, clock)
        written = peak() - before
        tests.backups.verify(manifest, repository, cases.OPENER)
        print(manifest.plain_bytes >> 20, written, peak() - before)
    """)
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    size, written, verified = map(int, done.stdout.split())
    print(f"{size} MiB: {written} MiB more to write, {verified} MiB more to verify too")
    assert size == 320 and written < 160 and verified < 200


class Now:
    """A clock for processes of their own."""

    def __init__(self):
        import time

        self.monotonic = time.monotonic

    def utc(self):
        return clocks.datetime.now(clocks.UTC)

    def wait(self, event, seconds):
        return event.wait(seconds)


def test_ids_sort_by_time_and_differ(clock):
    generator = random.Random(1)
    now = clock.utc()
    ids = [sealing.new_id(now + clocks.timedelta(seconds=n), generator) for n in range(50)]
    assert ids == sorted(ids) and len({sealing.new_id(now, generator) for _ in range(50)}) == 50


def test_two_jobs_at_once_do_not_disturb_each_other(clock):
    repository = MemoryRepository()
    store = cases.source(clock, items=100)
    threads = [threading.Thread(target=cases.take, args=(store, repository, clock)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    manifests, problems = listed(repository)
    assert len(manifests) == 4 and not problems
    assert all(backups.verify(m, repository, cases.OPENER).whole for m in manifests)
