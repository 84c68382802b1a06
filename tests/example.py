"""TEST DATA: evidence made up by hand. No drill ran, no number here was measured."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

from drplatform.model.clock import Interval
from drplatform.model.evidence import Evidence
from drplatform.model.ledger import Mark
from drplatform.model.loss import Loss
from drplatform.model.verdict import Check, Measurement, Verdict

START = datetime(2026, 11, 23, 14, 10, 54, 120000, tzinfo=UTC)
HOUR, DAY = 3600.0, 86400.0
FAULT_1, FAULT_2 = (11.203, 11.268), (13.911, 14.102)
BACK = {"mongodb": (26.482, 26.519), "redis": (20.114, 20.139), "files": (18.961, 18.997)}

SENTENCES = (
    ("Given", "a platform of two regions that serves", 0.0, 0.31),
    ("And", "reference content in MongoDB, Redis and file storage", 0.31, 2.04),
    ("And", "clients that write to MongoDB, Redis and file storage", 2.04, 2.9),
    ("And", "a full backup of MongoDB", 2.9, 5.12),
    ("And", "the log of MongoDB is captured continuously", 5.12, 5.4),
    ("And", "a snapshot backup of Redis", 5.4, 6.2),
    ("When", "the collection of the clients is dropped by mistake", 11.2, 11.27),
    ("And", "the database servers of the primary region are killed and lose their disks", 13.9, 14.11),
    ("And", "MongoDB is recovered as it was just before the drop and Redis as of its latest backup", 14.2, 27.6),
    ("Then", "every store answers again within its recovery time objective", 27.6, 28.1),
    ("And", "no more is lost than the recovery point objective allows", 28.1, 28.2),
    ("And", "every acknowledged write is accounted for", 28.2, 29.4),
)

SPANS = (
    ("notice that MongoDB does not answer", "detect", 14.11, 14.62),
    ("choose the recovery points", "decide", 14.62, 14.71),
    ("fence the old primary", "fence", 14.71, 15.03),
    ("new Redis servers", "provision", 15.03, 15.41),
    ("new MongoDB servers", "provision", 15.03, 19.6),
    ("fetch the newest Redis snapshot", "fetch", 15.41, 15.9),
    ("load the Redis snapshot", "restore", 15.9, 17.2),
    ("replay the log of Redis", "replay", 17.2, 18.8),
    ("compare Redis with the digests of its backup", "verify", 18.8, 19.5),
    ("give Redis its public name", "switch", 19.5, 19.72),
    ("load the full backup of MongoDB", "restore", 19.6, 23.2),
    ("replay the MongoDB oplog to just before the drop", "replay", 23.2, 25.1),
    ("compare MongoDB with the digests of its backup", "verify", 25.1, 26.0),
    ("give MongoDB its public name", "switch", 26.0, 26.31),
)

STEPS_AS_EVENTS = tuple((name, begin, "step.begin", phase) for name, phase, begin, _ in SPANS) + tuple(
    (name, end, "step.end", phase) for name, phase, _, end in SPANS
)


def _event(name: str, t: float, **detail: Any) -> dict[str, Any]:
    document: dict[str, Any] = {"name": name, "t": t, "utc": (START + timedelta(seconds=t)).isoformat()}
    return {**document, "detail": detail} if detail else document


def timeline() -> tuple[dict[str, Any], ...]:
    events = [
        _event("drill.begin", 0.0, id="example", seed=20261123),
        _event("fault.journalled", 11.198, fault="drop-collection"),
        _event("fault.confirmed", FAULT_1[1], fault="drop-collection", targets=["mongodb/drplatform.marks"]),
        _event("fault.journalled", 13.897, fault="kill-servers"),
        _event("fault.confirmed", FAULT_2[1], fault="kill-servers", targets=["primary-mongodb-0", "primary-mongodb-1", "primary-redis-0"]),
        _event("backup.finished", 5.118, store="mongodb", kind="full", chunks=14),
        _event("backup.finished", 6.197, store="redis", kind="snapshot", chunks=1),
        _event("drill.end", 31.44),
        *(
            _event(name, t, text=f"{keyword} {text}")
            for keyword, text, begin, end in SENTENCES
            for name, t in (("activity.begin", begin), ("activity.end", end))
        ),
        *(_event(name, t, step=step, phase=phase) for step, t, name, phase in STEPS_AS_EVENTS),
        *(_event("log.sealed", 5.6 + 0.7 * n, store="mongodb", slice=n, entries=380 + n) for n in range(6)),
    ]
    return tuple(sorted(events, key=lambda e: e["t"]))


def losses() -> tuple[Loss, ...]:
    kept = (Mark("mongodb-2", 1811, "a" * 64),)
    return (
        Loss("mongodb", 12_408, 3, 2, 12_409, unknown_kept=kept, unknown_gone=(Mark("mongodb-0", 1790, "b" * 64),)),
        Loss("redis", 31_022, 0, 1, 31_015, lost=tuple(Mark("redis-1", n, "c" * 64) for n in range(15_502, 15_509))),
        Loss("files", 844, 0, 0, 844),
    )


def measurements() -> tuple[Measurement, ...]:
    return (
        Measurement("rto", "mongodb", HOUR, Interval(BACK["mongodb"][0] - FAULT_2[1], BACK["mongodb"][1] - FAULT_2[0])),
        Measurement("rto", "redis", HOUR, Interval(BACK["redis"][0] - FAULT_2[1], BACK["redis"][1] - FAULT_2[0])),
        Measurement("rto", "files", HOUR, Interval(BACK["files"][0] - FAULT_2[1], BACK["files"][1] - FAULT_2[0])),
        Measurement("rpo", "mongodb", 300.0, Interval(0.0, 0.041)),
        Measurement("rpo", "redis", 300.0, Interval(0.212, 0.439)),
        Measurement("rpo", "files", DAY, Interval(0.0, 0.0)),
    )


def checks() -> tuple[Check, ...]:
    return (
        Check("every acknowledged write is accounted for", Verdict.PASSED, "44,274 acknowledged writes compared, both ways", True),
        Check("reference content is unchanged", Verdict.PASSED, "digests of 9 collections, 4 databases and 2 buckets agree", True),
        Check("nothing from after the recovery point", Verdict.PASSED, "no write later than 7438270112847.3 is there", True),
        Check("backups are intact", Verdict.PASSED, "31 objects have the SHA-256 that their manifest names", True),
        Check("MongoDB validates its own structures", Verdict.PASSED, "9 collections validated, no defect", True),
        Check("the other region was not touched", Verdict.PASSED, "3 servers of the secondary region ran throughout", True),
    )


def probes() -> dict[str, Any]:
    def seen(store: str, last_answer: float, samples: int, failures: int, note: str) -> dict[str, Any]:
        down, back = [last_answer, round(last_answer + 0.021, 3)], list(BACK[store])
        return {"period": 0.02, "timeout": 0.5, "samples": samples, "failures": failures, "down": down, "back": back, "notes": [note]}

    return {
        "mongodb": seen("mongodb", 13.934, 812, 91, "no primary was found within 0.5 s"),
        "redis": seen("redis", 13.921, 1204, 240, "connection refused"),
        "files": seen("files", 14.061, 1187, 188, "connection refused"),
    }


def _backup(store: str, kind: str, number: int, at: float, plain: int, stored: int) -> dict[str, Any]:
    stamp = (START + timedelta(seconds=at)).isoformat()
    position = f"{1795443054 + number}.3 (2026-11-23T14:11:07Z) of {store}-5f0c"
    return {
        "id": f"{store}-{kind}-20261123T1410{54 + number % 5}Z-{number:04x}",
        "store": store,
        "kind": kind,
        "begin": position,
        "end": position,
        "started": stamp,
        "finished": stamp,
        "chunks": 1 + number,
        "plain_bytes": plain,
        "stored_bytes": stored,
    }


def passed() -> Evidence:
    """A recovery of three stores that met every target."""
    finished = START + timedelta(seconds=31.44)
    return Evidence(
        id="20261123T141054Z-database-recovery-7f3a",
        scenario={
            "feature": "Monthly recovery of the databases",
            "name": "Databases come back from their backups alone",
            "cadence": "monthly",
            "tags": ["monthly", "critical", "database", "mongodb", "redis"],
            "source": "features/monthly/database_recovery.feature",
            "sentences": [{"text": f"{keyword} {text}", "result": "passed"} for keyword, text, *_ in SENTENCES],
        },
        verdict=Verdict.PASSED,
        summary="MongoDB, Redis and file storage were back after at most 12.7 s; 7 of 44,274 writes were lost, within the targets.",
        started=START.isoformat(),
        finished=finished.isoformat(),
        seconds=31.44,
        seed=20261123,
        platform="embedded",
        operator="ops@example.test",
        policy={"name": "migratio", "hash": "9c1185a5c5e9fc54612808977ee8f548b2258d31cf2f4a7f8f6a3a0a6f4b2c11"},
        versions={"drplatform": "0.1.0", "python": "3.11.2", "mongodb": "mongod 6.0.5", "redis": "Valkey 8.1.8", "files": "SeaweedFS 4.48"},
        measurements=tuple(m.to_json() for m in measurements()),
        checks=tuple(c.to_json() for c in checks()),
        losses=tuple(x.to_json() for x in losses()),
        faults=(
            {
                "fault": "drop-collection",
                "affects": ["mongodb"],
                "began": FAULT_1[0],
                "confirmed": FAULT_1[1],
                "targets": ["mongodb/drplatform.marks"],
                "seen": "the collection's UUID is no longer listed by the server",
            },
            {
                "fault": "kill-servers",
                "affects": ["files", "mongodb", "redis"],
                "began": FAULT_2[0],
                "confirmed": FAULT_2[1],
                "targets": ["primary-mongodb-0", "primary-mongodb-1", "primary-redis-0", "primary-files-0"],
                "seen": "no such process, the port refuses connections, 0 bytes on disk",
            },
        ),
        backups=(
            _backup("mongodb", "full", 13, 5.1, 48_210_771, 9_604_112),
            _backup("mongodb", "log", 11, 13.8, 2_911_004, 711_020),
            _backup("redis", "snapshot", 0, 6.2, 6_114_222, 1_904_551),
        ),
        phases={
            "detect": 0.51,
            "decide": 0.09,
            "fence": 0.32,
            "provision": 4.57,
            "fetch": 0.49,
            "restore": 4.9,
            "replay": 3.5,
            "verify": 1.6,
            "switch": 0.53,
        },
        spans=tuple({"step": step, "phase": phase, "begin": begin, "end": end} for step, phase, begin, end in SPANS),
        timeline=timeline(),
        ledger={"entries": 44_280, "digest": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        probes=probes(),
    )


def failed() -> Evidence:
    """Redis came back too late for a tight target, and MongoDB holds what it must not."""
    wrong = dataclasses.replace(
        losses()[0],
        lost=tuple(Mark("mongodb-0", n, "d" * 64) for n in range(1700, 1731)),
        phantom=(Mark("mongodb-9", 4, "e" * 64),),
        duplicated=(Mark("mongodb-1", 88, "f" * 64),),
        mutated=(Mark("mongodb-2", 17, "0" * 64),),
    )
    late = (Measurement("rto", "mongodb", 5.0, measurements()[0].actual), *measurements()[1:3])
    older = (Measurement("rpo", "mongodb", 300.0, Interval(412.2, 412.6)), *measurements()[4:])
    bad = Check(checks()[0].name, Verdict.FAILED, "31 acknowledged writes of mongodb are gone; 1 phantom; 1 duplicated; 1 mutated", True)
    return dataclasses.replace(
        passed(),
        id="20261123T151054Z-database-recovery-81bc",
        verdict=Verdict.FAILED,
        summary="MongoDB was back after 12.7 s, but its target is 5 s, and 31 acknowledged writes are gone.",
        measurements=tuple(m.to_json() for m in (*late, *older)),
        losses=(wrong.to_json(), *(x.to_json() for x in losses()[1:])),
        checks=tuple(c.to_json() for c in (bad, *checks()[1:])),
        scenario=_ending(passed(), 9, "rto of mongodb: between 12.380 and 12.608 s, target below 5 s"),
    )


def inconclusive() -> Evidence:
    """The fault was not seen to take effect, one measurement is missing, one checker missed its planted defect."""
    missing = Measurement("rto", "redis", HOUR, None, "no probe failed after the fault, so there was no outage to measure.")
    blind = Check(checks()[1].name, Verdict.PASSED, "digests agree", False)
    faults = (
        {
            "fault": "kill-servers",
            "affects": ["redis"],
            "began": 13.911,
            "confirmed": None,
            "targets": [],
            "seen": "2 of 2 servers still listen",
        },
    )
    rest = [m for m in measurements() if (m.name, m.subject) != ("rto", "redis")]
    return dataclasses.replace(
        passed(),
        id="20261123T161054Z-database-recovery-02de",
        verdict=Verdict.INCONCLUSIVE,
        summary="The fault was not seen to take effect on Redis, so this run says nothing about its recovery.",
        measurements=tuple(m.to_json() for m in (missing, *rest)),
        checks=tuple(c.to_json() for c in (checks()[0], blind, Check("backups are intact", Verdict.PASSED, "31 objects agree"))),
        faults=(*passed().faults[:1], *faults),
        doubts=("The ledger of redis stopped 4.1 s before the fault: a loss of zero proves nothing.",),
        probes={
            **probes(),
            "redis": {"period": 0.02, "timeout": 0.5, "samples": 1204, "failures": 0, "down": None, "back": None, "notes": []},
        },
        scenario=_ending(passed(), 7, "kill-servers was seen on no target"),
    )


def _ending(evidence: Evidence, at: int, note: str) -> dict[str, Any]:
    """The scenario with one sentence that failed, and those after it not run."""
    sentences = [dict(s) for s in evidence.scenario["sentences"]]
    sentences[at]["result"] = f"failed: {note}"
    sentences[at + 1 :] = [{**s, "result": "not run"} for s in sentences[at + 1 :]]
    return {**evidence.scenario, "sentences": sentences}


def bare(verdict: Verdict = Verdict.INCONCLUSIVE) -> Evidence:
    """A drill that ended before it measured anything."""
    return Evidence(
        id="bare", scenario={}, verdict=verdict, summary="", started=START.isoformat(), finished=START.isoformat(), seconds=0.0, seed=1,
        platform="memory", operator="", policy={}, versions={}, measurements=(), checks=(), losses=(), faults=(), backups=(), phases={},
        spans=(), timeline=(), ledger={},
    )  # fmt: skip


ALL = (passed, failed, inconclusive)
