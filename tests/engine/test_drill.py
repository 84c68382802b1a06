"""Whole drills on the memory platform: what passes, and above all what must never pass."""

import dataclasses
import threading

import pytest

from drplatform.engine import capabilities, users
from drplatform.model import drill, errors, ports
from drplatform.model.backup import BackupKind
from drplatform.model.verdict import Verdict
from drplatform.stores.memory import MARKS

ALL = ("mongodb", "redis", "files")
BEFORE = (
    drill.Steady(),
    drill.Seed(ALL),
    drill.Write(ALL),
    drill.BackUp("mongodb", BackupKind.FULL),
    drill.Capture("mongodb"),
    drill.BackUp("redis", BackupKind.SNAPSHOT),
    drill.GoOnWriting(20),
)
FAULTS = (
    drill.Inflict("collection-dropped", {"store": "mongodb"}),
    drill.GoOnWriting(10),
    drill.Inflict("servers-lost", {"region": "primary", "stores": ("mongodb", "redis")}),
)
RECOVER = (drill.Recover({"mongodb": drill.BEFORE_DROP, "redis": drill.LATEST}),)
OF_REGIONS = ("one primary", "saved", "kept", "fenced", "failback")
EXPECT = tuple(drill.Expect(judgement) for judgement in drill.JUDGEMENTS if judgement not in {*OF_REGIONS, "cluster"})
WHOLE = BEFORE + FAULTS + RECOVER + EXPECT


def by(rows, **values):
    return [row for row in rows if all(row[name] == value for name, value in values.items())]


def test_a_whole_drill_passes_and_accounts_for_every_write(memory_kit, run_drill):
    evidence, _ = run_drill(memory_kit, WHOLE)
    assert evidence.verdict is Verdict.PASSED, (evidence.summary, evidence.doubts)
    assert {(m["name"], m["subject"]) for m in evidence.measurements} == {
        ("rto", "mongodb"),
        ("rto", "redis"),
        ("rpo", "mongodb"),
        ("rpo", "redis"),
        ("rpo", "files"),
    }
    assert all(check["control"] == "caught" for check in evidence.checks)
    assert by(evidence.losses, store="mongodb")[0]["lost"] >= 10  # written after the drop
    assert by(evidence.losses, store="files")[0]["lost"] == 0
    assert [sentence["result"] for sentence in evidence.scenario["sentences"]] == ["passed"] * len(WHOLE)
    assert {"fence", "provision", "restore", "switch"} <= evidence.phases.keys()


def test_the_recovery_time_lies_within_what_the_timeline_allows(memory_kit, run_drill):
    evidence, _ = run_drill(memory_kit, WHOLE)
    redis = by(evidence.measurements, name="rto", subject="redis")[0]
    lost = by(evidence.faults, fault="servers-lost")[0]
    switched = next(span for span in evidence.spans if span["step"] == "Switch the public name of redis")
    assert redis["lower"] <= switched["end"] - lost["began"]
    assert redis["upper"] >= switched["begin"] - lost["confirmed"]


def sabotaged(kit, **replaced):
    """The kit with a fault class of which some methods are replaced."""

    def lookup(kind):
        return dataclasses.make_dataclass(
            "Sabotaged", [], bases=(kit.faults(kind),), namespace=replaced if kind == "servers-lost" else {}, frozen=True
        )

    return dataclasses.replace(kit, faults=lookup)


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr("drplatform.engine.faulting.SECONDS_TO_CONFIRM", 0.3)


def test_a_fault_that_does_nothing_is_inconclusive(memory_kit, run_drill, hasty):
    kit = sabotaged(memory_kit, apply=lambda self, scene: None)
    evidence, _ = run_drill(kit, WHOLE)
    assert evidence.verdict is Verdict.INCONCLUSIVE
    assert "independent look" in evidence.summary


def test_a_fault_without_targets_is_inconclusive(memory_kit, run_drill, hasty):
    kit = sabotaged(memory_kit, _servers=lambda self, scene: [])
    evidence, _ = run_drill(kit, WHOLE)
    assert evidence.verdict is Verdict.INCONCLUSIVE


def test_a_ledger_that_stopped_before_the_fault_is_inconclusive(memory_kit, run_drill, monkeypatch):
    monkeypatch.setattr("drplatform.engine.examination.LEDGER_GAP", 0.0)
    monkeypatch.setattr("drplatform.engine.workload.PERIOD", 0.01)
    evidence, _ = run_drill(memory_kit, WHOLE)
    assert evidence.verdict is not Verdict.PASSED
    assert any("ledger" in m["reason"] for m in evidence.measurements)


def test_a_target_that_is_missed_fails(memory_kit, run_drill):
    strict = dataclasses.replace(
        memory_kit.policy, objectives=dataclasses.replace(memory_kit.policy.objectives, rto={"critical": 0.001, "non-critical": 1.0})
    )
    evidence, _ = run_drill(dataclasses.replace(memory_kit, policy=strict), WHOLE)
    assert evidence.verdict is Verdict.FAILED
    assert {m["subject"] for m in by(evidence.measurements, verdict="FAILED")} == {"mongodb", "redis"}
    assert all(m["verdict"] == "PASSED" for m in by(evidence.measurements, name="rpo"))


def corrupt_after_recovery(change):
    """Change the recovered content of redis as soon as it was recovered."""

    def between(running, activity):
        if isinstance(activity, drill.Recover):
            store = running.kit.connect(running.kit.platform.endpoint("redis"))
            server = store.server()
            with server.lock:
                change(server.data)

    return between


DEFECTS = {
    "lost": lambda data: data[MARKS].pop("client-1/1"),
    "mutated": lambda data: data[MARKS].update({"client-1/1": "changed"}),
    "phantom": lambda data: data[MARKS].update({"stranger/1": "never written"}),
    "duplicated": lambda data: data[MARKS].update({"client-1/1#2": data[MARKS]["client-1/1"]}),
    "reference": lambda data: data["reference"].update({"000001": "changed"}),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_wrong_data_after_the_recovery_fails_and_is_named(memory_kit, run_drill, defect):
    evidence, _ = run_drill(memory_kit, WHOLE, corrupt_after_recovery(DEFECTS[defect]))
    assert evidence.verdict is Verdict.FAILED
    failed = " ".join(check["finding"] for check in by(evidence.checks, verdict="FAILED"))
    assert {"lost": "are gone", "reference": "changed"}.get(defect, defect) in failed


def test_a_damaged_backup_is_refused_and_fails(memory_kit, run_drill):
    def between(running, activity):
        if isinstance(activity, drill.BackUp) and activity.store == "redis":
            for info in list(memory_kit.repository.list("redis/")):
                if "/chunks/" in info.key:
                    data = memory_kit.repository.get(info.key)
                    memory_kit.repository.delete(info.key)
                    memory_kit.repository.put(info.key, data[:-1] + bytes([data[-1] ^ 1]))

    evidence, _ = run_drill(memory_kit, WHOLE, between)
    assert evidence.verdict is Verdict.FAILED
    assert "not whole" in evidence.summary


def test_an_error_before_any_fault_is_inconclusive(memory_kit, run_drill):
    def between(running, activity):
        if isinstance(activity, drill.Seed):
            memory_kit.platform.server(memory_kit.platform.endpoint("redis")).alive = False

    evidence, _ = run_drill(memory_kit, WHOLE, between)
    assert evidence.verdict is Verdict.INCONCLUSIVE
    assert evidence.measurements == ()


def test_what_did_not_run_is_never_passed(memory_kit, run_drill):
    class Stop(Exception):
        pass

    def between(running, activity):
        if isinstance(activity, drill.Recover):
            raise Stop

    with pytest.raises(Stop):
        run_drill(memory_kit, WHOLE, between)
    assert all(instance.running() for region in memory_kit.platform.regions for instance in region.instances)


def test_faults_are_healed_when_the_drill_is_left_without_a_recovery(memory_kit, run_drill):
    evidence, _ = run_drill(memory_kit, BEFORE + FAULTS + (drill.Expect("rto"),))
    assert evidence.verdict is not Verdict.PASSED
    assert all(instance.running() for region in memory_kit.platform.regions for instance in region.instances)


def test_without_a_positive_control_nothing_passes(memory_kit, run_drill, monkeypatch):
    monkeypatch.setattr("drplatform.engine.planted.comparison_catches", lambda *arguments: False)
    evidence, _ = run_drill(memory_kit, WHOLE)
    assert evidence.verdict is Verdict.INCONCLUSIVE
    assert by(evidence.checks, control="missed")


def test_capabilities_are_offered_as_the_platform_has_them(memory_kit):
    found = capabilities.offered(memory_kit.platform, memory_kit.stores, ("a-fault",))
    assert {
        "store:mongodb",
        "log:redis",
        "namespaced:mongodb",
        "killable:primary",
        "erasable:secondary",
        "provision",
        "fault:a-fault",
    } <= found
    assert isinstance(memory_kit.platform, ports.Provisionable)
    with pytest.raises(errors.PlanError, match="provision"):
        drill.plan(drill.Scenario("F", "S", (), WHOLE), memory_kit.policy, 1, found - {"provision"})


@pytest.mark.parametrize(("seconds", "verdict"), [(0.8, Verdict.PASSED), (3600.0, Verdict.FAILED)])
def test_a_store_that_stumbles_at_the_end_is_waited_for_and_one_that_lies_down_is_not(memory_kit, run_drill, monkeypatch, seconds, verdict):
    monkeypatch.setattr(users, "SECONDS_TO_SETTLE", 4.0)
    server = memory_kit.platform.server(memory_kit.platform.endpoint("files"))
    up = threading.Timer(seconds, lambda: setattr(server, "alive", True))

    def between(running, activity):
        if isinstance(activity, drill.Recover):
            server.alive = False
            up.start()

    try:
        evidence, _ = run_drill(memory_kit, WHOLE, between)
    finally:
        up.cancel()
        server.alive = True
    assert evidence.verdict is verdict, evidence.summary
    failed = [check["name"] for check in by(evidence.checks, verdict="FAILED")]
    assert ("files answers at the end" in failed) == (verdict is Verdict.FAILED)


class Slow:
    """A store that leaves users unanswered who do not give it so many seconds."""

    def __init__(self, store, needs):
        self._store, self._needs = store, needs

    def __getattr__(self, name):
        return getattr(self._store, name)

    def prober(self, anchor, payload):
        return SlowProber(self._store.prober(anchor, payload), self._needs)


class SlowProber:
    def __init__(self, prober, needs):
        self._prober, self._needs = prober, needs

    def attempt(self, number, timeout):
        if timeout < self._needs:
            raise errors.StoreError("not answered in time")
        self._prober.attempt(number, timeout)

    def close(self):
        self._prober.close()


def on_a_slow_machine(kit, monkeypatch, needs):
    monkeypatch.setattr("drplatform.engine.users.SECONDS_AT_A_PACE", 0.5)
    monkeypatch.setattr("drplatform.engine.users.SECONDS_AT_THE_LAST", 10.0)
    stores = {**kit.stores, "redis": Slow(kit.stores["redis"], needs)}
    return dataclasses.replace(
        kit, stores=stores, connect=lambda endpoint: Slow(kit.connect(endpoint), needs if endpoint.kind == "redis" else 0)
    )


def test_where_answers_take_long_everybody_slows_down_and_the_bounds_are_as_wide_as_the_probes(memory_kit, run_drill, monkeypatch):
    evidence, _ = run_drill(on_a_slow_machine(memory_kit, monkeypatch, 0.4), WHOLE)
    assert evidence.verdict is Verdict.PASSED, (evidence.summary, evidence.doubts)
    (times,) = [e["detail"]["times"] for e in evidence.timeline if e["name"] == "users.slowed"]
    assert times >= 2 and {(p["period"], p["timeout"]) for p in evidence.probes.values()} == {(0.02 * times, 0.25 * times)}


def test_users_who_are_never_answered_are_no_drill(memory_kit, run_drill, monkeypatch):
    monkeypatch.setattr("drplatform.engine.users.SECONDS_AT_THE_LAST", 0.5)
    kit = on_a_slow_machine(memory_kit, monkeypatch, 1e9)
    monkeypatch.setattr("drplatform.engine.users.SECONDS_AT_THE_LAST", 0.5)
    evidence, _ = run_drill(kit, WHOLE)
    assert evidence.verdict is Verdict.INCONCLUSIVE and "to answer users" in evidence.summary


class Breaking(Slow):
    """A store whose connections break while it is read, so many of them."""

    def __init__(self, store, breaks):
        super().__init__(store, 0)
        self._breaks = breaks

    def marks(self):
        if self._breaks:
            self._breaks.pop()
            raise errors.StoreError("closed the connection")
        return self._store.marks()


@pytest.mark.parametrize(("breaks", "verdict"), [(2, Verdict.PASSED), (1000, Verdict.INCONCLUSIVE)])
def test_a_connection_that_breaks_while_a_store_is_read_at_the_end_is_made_again(memory_kit, run_drill, breaks, verdict):
    left = [None] * breaks
    kit = dataclasses.replace(memory_kit, connect=lambda at: Breaking(memory_kit.connect(at), left if at.kind == "files" else []))
    evidence, _ = run_drill(kit, WHOLE)
    assert evidence.verdict is verdict, (evidence.summary, evidence.doubts)
    assert len(left) == (0 if verdict is Verdict.PASSED else breaks - 3)
