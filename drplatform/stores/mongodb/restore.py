"""A restore into an empty replica set: collections, documents, the dump's own log, indexes, the log that follows.

Order matters twice. Indexes are built after the dump's own log, because uniqueness need not hold before its end; and before the log that
follows, whose states are consistent. Documents do not expire (TTL) until the restore is over, or the log would meet fewer than it expects.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import bson

from drplatform.model import errors
from drplatform.model.backup import BackupKind
from drplatform.model.ports import RestoreEnd
from drplatform.model.position import Position
from drplatform.stores.mongodb import (
    catalogue,
    chosen,
    contents,
    digest,
    dump,
    increment,
    loading,
    members,
    namespaces,
    oplog,
    progress,
    raw,
)
from drplatform.stores.mongodb import lease as leases
from drplatform.stores.mongodb import wire as wires
from drplatform.stores.mongodb.catalogue import Collection
from drplatform.stores.mongodb.chosen import Chosen
from drplatform.stores.mongodb.contents import Tally
from drplatform.stores.mongodb.fingerprint import Fingerprint, Found, draw_seed
from drplatform.stores.mongodb.lease import Lease
from drplatform.stores.mongodb.members import Members, Stamp
from drplatform.stores.mongodb.progress import Indexes
from drplatform.stores.mongodb.replay import Replay
from drplatform.stores.mongodb.target import Target
from drplatform.stores.mongodb.transactions import Assembly
from drplatform.stores.mongodb.wire import Wire

_BUILDERS = 2
_AUTH_SCHEMA = {"_id": "authSchema", "currentVersion": 5}


@contextmanager
def restore(of: Members, plan: str = "", resume: bool = False, only: Chosen | None = None) -> Iterator["MongoRestore"]:
    """Begin a restore, or go on with one of the same plan that was cut off; `only`: beside what is there. Raises TargetRefused."""
    with (
        of.primary() as wire,
        wire.another() as noting,
        leases.held(noting, of.clock, plan, resume, beside=only is not None) as lease,
        _without_expiry(wire, lease),
    ):
        if lease.found and (only or not progress.can_go_on(lease)):
            _begin_anew(wire.within(wires.LONG), lease, only)
        yield MongoRestore(of, wire.within(wires.LONG), lease, only)


def _begin_anew(wire: Wire, lease: Lease, only: Chosen | None) -> None:
    """Drop what an earlier attempt has left: all of it, or what it made beside what was there."""
    if only is None:
        leases.wipe(wire)
    else:
        for namespace in {c.namespace for c in catalogue.read(wire)} & lease.made:
            chosen.drop(wire, namespace)
    lease.forget_blocks()


@contextmanager
def _without_expiry(wire: Wire, lease: Lease) -> Iterator[None]:
    wire.call("admin", {"setParameter": 1, "ttlMonitorEnabled": False})
    try:
        yield
    finally:
        with wire.another() as fresh:
            fresh.call("admin", {"setParameter": 1, "ttlMonitorEnabled": lease.expiry})


class MongoRestore:
    """See `ports.Restore`."""

    def __init__(self, of: Members, wire: Wire, lease: Lease, only: Chosen | None = None) -> None:
        self._members, self._wire, self._lease = of, wire, lease
        self._only = only
        self._target = Target(wire, beside=only is not None)
        self._indexes: Indexes = {}
        self._transactions = Assembly()
        self._lock, self._entering = threading.Lock(), threading.Lock()
        self._stage = ""
        self._twice = loading.Twice()
        self._loaded = dict(lease.tallies)
        self._seed = lease.notes[leases.SEED] if leases.SEED in lease.notes else draw_seed()
        self._contents: dict[bytes, Fingerprint] = {}
        self._digested = True
        self._touched = set[bytes]()
        self._reached: Position | None = None
        self._unbuilt = False
        self.settled = lease.found in (leases.INDEXING, leases.REPLAYING)
        if self.settled:
            self._go_on(progress.found(lease))

    def _go_on(self, from_: progress.Settled) -> None:
        self._target.names, self._indexes = dict(from_.names), from_.indexes
        self._transactions, self._reached, self._contents = from_.transactions, from_.reached, dict(from_.contents)

    def done(self, part: str) -> int:
        """How many blocks of a part of the full backup an earlier attempt loaded: `load` gets those that follow."""
        return self._lease.blocks.get(part, 0)

    # -- the backup -----------------------------------------------------------------------------------------------------------

    def load(self, kind: BackupKind, part: str, blocks: Iterator[bytes]) -> None:
        what, _, rest = part.partition("/")
        place = rest.rpartition("/")[0]
        if kind not in (BackupKind.FULL, BackupKind.INCREMENTAL, BackupKind.PARTIAL):
            raise errors.RecoveryFailed(f"MongoDB cannot load a backup of kind {kind.value}; use a full one, increments and logs.")
        if kind is BackupKind.INCREMENTAL:
            self._changing()
        if part == dump.CATALOGUE:
            self._create(blocks)
        elif part == dump.LOG:
            self._settle(kind, blocks)
        elif part == increment.WINDOW:
            self._repeat_window(blocks)
        else:
            self._load_documents(what, part, place, blocks)

    def _changing(self) -> None:
        """What is cut off from here on, until all is loaded, begins anew."""
        with self._entering:
            if self._stage != leases.CHANGING:
                self._lease.enter(leases.CHANGING)
                self._stage = leases.CHANGING

    def _load_documents(self, what: str, part: str, place: str, blocks: Iterator[bytes]) -> None:
        """Passes over, unread, what is not chosen."""
        if what == "data":
            namespace = chosen.place(self._only, dump.namespace_of(part))
        else:
            namespace = self._target.names.get(bytes.fromhex(place))
            self._touched.add(bytes.fromhex(place))
        if namespace is None:
            if self._only is None:
                raise errors.IntegrityError(
                    "This MongoDB increment holds documents of a collection that it does not know; do not trust it."
                )
        elif what == increment.TOUCHED:
            self._remove(namespace, blocks)
        elif what == increment.DOCUMENTS:
            with self._dial() as wire:
                loader = loading.Loader(wire, namespace)
                for block in blocks:
                    loader.load(block, Fingerprint(self._seed).add(block))
        else:
            self._load(namespace, part, blocks)

    def _create(self, blocks: Iterator[bytes]) -> None:
        with self._lock:
            listed = [Collection.from_bson(document) for block in blocks for document in raw.documents(block)]
            placed = [replace(c, namespace=to) for c in listed if (to := chosen.place(self._only, c.namespace))]
            if any(c.namespace == namespaces.ROLES for c in placed):
                _require_all_rights(self._wire)
            if self._only:
                chosen.refuse_taken(self._wire, [c.namespace for c in placed], self._lease.made)
            for collection in placed:
                self._made(collection.namespace)
                self._make(collection)
                self._indexes[collection.uuid] = {spec["name"]: spec for spec in collection.indexes}
            views = {f"{namespaces.split(c.namespace)[0]}.system.views" for c in placed if self._target.makes_view(c)}
            shared = self._lease.notes.get("shared", sorted(views | self._users_there()))
            self._lease.enter(leases.DATA, **{leases.SEED: bson.Int64(self._seed)}, shared=shared)

    def _users_there(self) -> set[str]:
        """Users and roles of the target's own stay, among those of the backup: which of the two collections hold some before the restore."""
        places = [(name, *namespaces.split(name)) for name in namespaces.USERS]
        return {name for name, database, found in places if any(self._wire.documents(database, {"find": found, "limit": 1}))}

    def _made(self, namespace: str) -> None:
        if self._only and namespace not in self._lease.made:
            self._lease.make(namespace)

    def _make(self, collection: Collection) -> None:
        """An attempt that goes on finds the collections; those that have an order of their own are loaded again from their beginning."""
        if not self._lease.found:
            self._target.create(collection)
            return
        self._target.names[collection.uuid] = collection.namespace
        if collection.capped:
            database, name = namespaces.split(collection.namespace)
            self._target.command(database, {"drop": name})
            self._target.create(collection)
            for part in [p for p in self._lease.blocks if dump.namespace_of(p) == collection.namespace]:
                del self._lease.blocks[part], self._loaded[part]

    def _load(self, namespace: str, part: str, blocks: Iterator[bytes]) -> None:
        with self._dial() as wire:
            loader = loading.Loader(wire, namespace, partial(self._twice.note, namespace))
            tally = self._loaded.setdefault(part, self._tally())
            before = self.done(part)
            for number, block in enumerate(blocks, before):
                if self._lease.found and number == before:
                    self._remove(namespace, iter([block]))  # some of it may be in
                loader.load(block, tally.loaded(block))
                if self._only is None:
                    self._lease.loaded(wire, part, number + 1, tally)
            self._target.kept |= loader.kept

    def _remove(self, namespace: str, blocks: Iterator[bytes]) -> None:
        """Remove the documents with the `_id`s of these, which are loaded again as far as they are still there."""
        database, name = namespaces.split(namespace)
        if name.startswith("system."):
            return  # those are put, not inserted
        with self._dial() as wire:
            for block in blocks:
                for ids in increment.reads([raw.id_of(document) or b"" for document in raw.documents(block)]):
                    change = {"q": increment.among(ids), "limit": 0}
                    answer = wire.call(database, {"delete": name, "deletes": [change], "writeConcern": {"w": 1}})
                    if "writeErrors" in answer:
                        raise errors.RecoveryFailed(f"Loading {namespace} failed: {answer['writeErrors'][0].get('errmsg')}.")

    def _repeat_window(self, blocks: Iterator[bytes]) -> None:
        """Apply what an increment holds as operations, onto the state that the backup before it ended with."""
        head, frames = oplog.headed(blocks, increment.WINDOW)
        since, reached = _stamp(head["since"]), self._require_reached()
        if (head["timeline"], since) != (reached.timeline, members.stamp(reached)):
            raise errors.RecoveryFailed(f"The increment continues {since} and not {reached}; a backup between them is missing.")
        with self._lock:
            replay, reader, transactions = self._replay(indexes=self._indexes), oplog.Reader(since), Assembly()
            for entry, _ in reader.entries(frames):
                for unit in transactions.feed(entry):
                    replay.apply(unit)
            replay.end()
        if reader.reached != _stamp(head["until"]):
            raise errors.IntegrityError("The operations of this MongoDB increment end before it does; do not trust it.")

    def _settle(self, kind: BackupKind, blocks: Iterator[bytes]) -> None:
        """Apply the dump's own log, which makes the documents consistent as of its end."""
        if self._stage != leases.CHANGING:
            self._lease.enter(leases.SETTLING)
        head, frames = oplog.headed(blocks, "overlay")
        begin, end = _stamp(head["begin"]), _stamp(head["end"])
        if kind is not BackupKind.INCREMENTAL:
            self._tell_contents(head.get(contents.CONTENTS, ()))
        cuts = {bytes(cut["uuid"]): _stamp(cut["until"]) for cut in head["cuts"]}
        with self._lock:
            self._target.tolerant = True
            self._transactions = Assembly()  # a log holds again what was open at the end of the backup before
            self._repeat(self._replay(indexes=self._indexes, cuts=cuts, changing=self._changing), frames, begin, end)
            self._target.tolerant = False
            self._reached = members.at(head["timeline"], end)

    def _tell_contents(self, dumped: Iterable[Mapping[str, Any]]) -> None:
        """From here on collections may be changed and renamed. What was loaded of them must be what the dump says, as far as it does."""
        uuids, loaded = {name: uuid for uuid, name in self._target.names.items()}, {uuid: self._tally() for uuid in self._target.names}
        for part, tally in self._loaded.items():
            loaded[uuids[str(chosen.place(self._only, dump.namespace_of(part)))]].merge(tally)
        told = list(dumped)
        contents.require(told, loaded, self._target.names)
        self._contents = {uuid: tally.content for uuid, tally in loaded.items()}
        self._digested = not any("crc64" in each for each in told)

    def _tally(self) -> Tally:
        return Tally(content=Fingerprint(self._seed))

    def _repeat(self, replay: Replay, frames: Iterator[bytes], begin: Stamp, end: Stamp) -> None:
        reader, names = oplog.Reader(), dict(self._target.names)
        for entry, _ in reader.entries(frames):
            for unit in self._transactions.feed(entry):
                if unit.ts > begin:
                    self._twice.see(unit)
                    replay.apply(unit)
        replay.end()
        self._twice.explain(names)
        if reader.reached != end:
            raise errors.IntegrityError("The log of this MongoDB backup ends before the backup does; do not trust it.")

    def _replay(self, **more: Any) -> Replay:
        return Replay(self._target, chosen=self._only, made=self._made, touched=self._touched.add, **more)

    def loaded(self, last: bool = False) -> None:
        """Build the indexes, those of several collections at once, or leave it to the end."""
        if self._reached is None:
            raise errors.RecoveryFailed("The log of the MongoDB backup was not loaded; load all its parts before going on.")
        if self._only is None and not self.settled:
            calm = {uuid: content for uuid, content in self._contents.items() if uuid not in self._touched}
            progress.keep(self._lease, progress.Settled(self._reached, self._target.names, self._indexes, self._transactions, calm))
        if any(name in namespaces.USERS for name in self._target.names.values()):
            self._target.put_document("admin.system.version", bson.encode(_AUTH_SCHEMA))
        self._target.flush()
        self._unbuilt = self._lease.found != leases.REPLAYING
        if self._unbuilt and not last:
            self._build_all()

    def _build_all(self) -> None:
        with ThreadPoolExecutor(_BUILDERS) as builders:
            list(builders.map(lambda one: self._build(*one), self._wanted()))
        self._unbuilt = False

    def _wanted(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """What to build at once, the largest first. The indexes of a collection that holds most of all documents are shared out: they
        would all be made by one builder, in one thread of the server, while the others have nothing to do."""
        held = {uuid: self._contents[uuid].items if uuid in self._contents else 0 for uuid in self._target.names}
        half = sum(held.values()) / 2
        for uuid in sorted(held, key=held.__getitem__, reverse=True):
            specs = [spec for spec in self._indexes[uuid].values() if spec["key"] != {"_id": 1}]
            shares = _BUILDERS if held[uuid] > half else 1
            yield from ((self._target.names[uuid], share) for n in range(shares) if (share := specs[n::shares]))

    def _build(self, namespace: str, specs: list[dict[str, Any]]) -> None:
        with self._dial() as wire:
            Target(wire).build(namespace, specs)

    def _dial(self) -> Wire:
        return self._wire.another().within(wires.LONG)

    # -- the log that follows -------------------------------------------------------------------------------------------------

    def replay(self, blocks: Iterator[bytes], until: Position | None) -> None:
        loaded = self._require_reached()
        if until is not None and until < loaded:
            raise errors.RecoveryFailed(f"The backup already holds what came up to {loaded}, after {until}; choose an earlier backup.")
        bound = members.stamp(until) if until else None
        replay, reader = self._replay(progress=self._announcing()), oplog.Reader(members.stamp(loaded), loaded.timeline)
        beyond = False
        try:
            for entry, _ in reader.entries(blocks):
                if bound and entry.ts > bound:
                    beyond = True
                    break
                if entry.ts > members.stamp(loaded):
                    for unit in self._transactions.feed(entry):
                        replay.apply(unit)
            replay.end()
        except (errors.RecoveryFailed, wires.ServerError) as error:
            if self._target.tolerant:
                raise progress.must_begin_anew(self._lease, error) from error
            raise
        self._target.tolerant = False
        self._reached = self._arrived(loaded, reader, until, beyond)

    def _announcing(self) -> progress.Progress | None:
        """Where an earlier attempt was cut off in the log, what it had announced is applied the way the dump's own log is."""
        if self._lease.notes.get("done") is None:
            return None
        announced = progress.Progress(self._lease, self._wire)
        self._target.tolerant = self._lease.found == leases.REPLAYING
        announced.begin(self._target.names)
        return announced

    def _arrived(self, loaded: Position, reader: oplog.Reader, until: Position | None, beyond: bool) -> Position:
        assert reader.reached is not None  # it began with what was loaded
        if until is None:
            return members.at(loaded.timeline, reader.reached)
        if not beyond and reader.reached < members.stamp(until):
            raise errors.LogGap(f"The log ends at {reader.reached}, before {until}; recover to a position that it holds.")
        return until

    def finish(self) -> RestoreEnd:
        """Wait until the majority has everything, and look at what is there, while indexes are built that were left to the end.

        Raises RecoveryFailed when that is not what was loaded.
        """
        reached = self._require_reached()
        note = {"appendOplogNote": 1, "data": {"drplatform": "restored"}, "writeConcern": {"w": "majority"}}
        self._target.call("admin", note)
        self._lease.require()
        found, structures = digest.read(self._members, self._found, self._restored_only(), self._build_all if self._unbuilt else None)
        fingerprints = {name: each.fingerprint for name, each in found.items()}
        expected = contents.expected(self._contents, self._target.names, self._touched, self._lease.notes.get("shared", ()))
        if wrong := contents.differing(expected, fingerprints):
            self._lease.enter(leases.CHANGING)
            raise errors.RecoveryFailed(
                f"What was restored is not what was backed up: {'; '.join(wrong[:5])}. With --resume it begins anew."
            )
        digests = {name: each.digest.digest() for name, each in found.items() if each.digest}
        counts = {name: each.items for name, each in fingerprints.items()}
        left = tuple(f"{own}: as it was before the restore, which was done with it" for own in sorted(self._target.kept))
        self._lease.release()
        return RestoreEnd(reached, digests | structures, counts, left=left, compared=frozenset(expected))

    def _found(self) -> Found:
        """Digests are for manifests that hold some of content: of imports, and of earlier versions, whose dumps do not tell what they held."""
        return Found(Fingerprint(self._seed), digest.Documents() if self._digested else None)

    def _restored_only(self) -> frozenset[str] | None:
        """What was restored beside what is there. Raises RecoveryFailed when that is nothing."""
        if self._only is None:
            return None
        if not self._target.names:
            raise errors.RecoveryFailed(f"At {self._reached} there is no {self._only.choice}; choose another recovery point.")
        return frozenset(self._target.names.values())

    def _require_reached(self) -> Position:
        if self._reached is None:
            raise errors.RecoveryFailed("Nothing was loaded into MongoDB yet; load a full backup first.")
        return self._reached


def _require_all_rights(wire: Wire) -> None:
    """Raises TargetRefused for an account that may not write roles, as those that come with the server may not, `root` neither."""
    found = wire.call("admin", {"connectionStatus": 1, "showPrivileges": True})["authInfo"]
    privileges = found["authenticatedUserPrivileges"]
    everything = any(each["resource"].get("anyResource") and "anyAction" in each["actions"] for each in privileges)
    if found["authenticatedUsers"] and not everything:
        raise errors.TargetRefused(
            "The backup holds roles, and no role that comes with MongoDB may write these. For the time of the restore, give the account a role "
            "with the action anyAction on anyResource (docs/mongodb.md says how). Nothing was touched."
        )


def _stamp(timestamp: bson.timestamp.Timestamp) -> Stamp:
    return timestamp.time, timestamp.inc
