"""Experiments of Chaos Toolkit: green only where a drill passed.

What Chaos Toolkit and our control decide is tested with the engine on the memory platform; the shipped experiment runs on real servers.
"""

import copy
import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from chaoslib.experiment import ensure_experiment_is_valid, run_experiment
from chaoslib.loader import load_experiment
from chaoslib.types import Dry
from hanging import WhenSomethingHangs

import drplatform
from drplatform import environment
from drplatform.chaos import control, session
from drplatform.faults.servers_lost import ServersLost
from drplatform.model import clock as clocks
from drplatform.model import errors
from drplatform.model.clock import Interval
from drplatform.model.evidence import Evidence
from drplatform.model.verdict import Check, Measurement, Verdict, judge
from drplatform.platforms.memory import MemoryPlatform
from drplatform.repositories.memory import MemoryRepository
from drplatform.stores.memory import MemoryStore

ROOT = Path(drplatform.__file__).parents[1]
ALL = sorted((ROOT / "experiments").glob("*.yaml"))
ON_CLUSTERS = [path for path in ALL if "kubernetes" in load_experiment(str(path))["tags"]]
SHIPPED = [path for path in ALL if path not in ON_CLUSTERS]
"""Those whose hypothesis holds on the embedded platform."""


def action(func, **arguments):
    provider = {"type": "python", "module": "drplatform.chaos.actions", "func": func, "arguments": arguments}
    return {"type": "action", "name": f"{func} {arguments}", "provider": provider}


def probe(func, tolerance, **arguments):
    provider = {"type": "python", "module": "drplatform.chaos.probes", "func": func, "arguments": arguments}
    return {"type": "probe", "name": f"{func} {arguments}", "tolerance": tolerance, "provider": provider}


PASSED = {"type": "probe", "name": "passed", "provider": {"type": "python", "module": "drplatform.chaos.tolerances", "func": "passed"}}
PASSED["provider"]["arguments"] = {"value": ""}

EXPERIMENT = {
    "title": "Redis is lost",
    "description": "Small.",
    "configuration": {"stores": ["redis"], "seed": 7},
    "controls": [{"name": "drplatform", "provider": {"type": "python", "module": "drplatform.chaos.control"}}],
    "steady-state-hypothesis": {"title": "Served", "probes": [probe("answers", True, store="redis"), probe("verdict", PASSED)]},
    "method": [
        action("back_up", store="redis", kind="snapshot"),
        action("go_on_writing", writes=20),
        action("inflict", fault="servers-lost", parameters={"region": "primary", "stores": ["redis"]}),
        action("recover", targets={"redis": "latest"}),
    ],
    "rollbacks": [],
}


@pytest.fixture
def experiment(tmp_path):
    """The small experiment, to be changed at will."""
    made = copy.deepcopy(EXPERIMENT)
    made["configuration"]["reports"] = str(tmp_path / "reports")
    return made


@pytest.fixture
def on_memory(monkeypatch, tmp_path):
    """Drills run on the memory platform; the platforms that were made, to see what was touched."""
    made = []

    def platform(self, *wanted):
        made.append(MemoryPlatform(tmp_path / f"platform-{len(made)}"))
        made[-1].directory.mkdir()
        return made[-1]

    def connect(endpoint, clock):
        return MemoryStore(lambda: made[-1].server(endpoint), clock, endpoint.kind)

    monkeypatch.setattr("drplatform.engine.users.SECONDS_TO_SETTLE", 3.0)  # nobody waits so long for what does not come
    monkeypatch.setattr("drplatform.engine.faulting.SECONDS_TO_CONFIRM", 0.5)
    monkeypatch.setenv("DRPLATFORM_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("DRPLATFORM_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setattr(environment.Environment, "platform", platform)
    monkeypatch.setattr(environment.edges, "connect", connect)
    monkeypatch.setattr(environment.edges, "repository", lambda place, clock: MemoryRepository(clock))
    return made


def green(journal) -> bool:
    """As `chaos run` decides its exit code."""
    return journal["status"] == "completed" and not journal["deviated"]


def test_an_experiment_is_green_when_its_drill_passed(experiment, on_memory):
    journal = run_experiment(experiment)
    assert green(journal), journal["drplatform"]["summary"]
    assert journal["drplatform"]["verdict"] == "PASSED"
    evidence = journal["drplatform"]["evidence"]
    assert evidence["scenario"]["name"] == "Redis is lost"
    assert [m["name"] for m in evidence["measurements"]] == ["rto", "rpo"]
    assert json.loads(json.dumps(journal))["drplatform"]["evidence"]["verdict"] == "PASSED", "the journal is plain JSON"


class NothingHappens(ServersLost):
    def apply(self, scene):
        pass


class Refuses(ServersLost):
    def apply(self, scene):
        raise errors.StoreError("The servers cannot be reached.")


def in_place_of_all_faults(monkeypatch, fault):
    for composition in (environment, environment.edges):
        monkeypatch.setattr(composition, "fault", lambda kind: fault)


@pytest.mark.parametrize(("fault", "verdict"), [(NothingHappens, "INCONCLUSIVE"), (Refuses, "INCONCLUSIVE")])
def test_a_fault_that_did_not_happen_is_never_green(experiment, on_memory, monkeypatch, fault, verdict):
    in_place_of_all_faults(monkeypatch, fault)
    journal = run_experiment(experiment)
    assert not green(journal)
    assert journal["drplatform"]["verdict"] == verdict
    assert journal["run"][-1]["status"] == "failed", "the method stopped at the disaster"
    assert "recover" not in journal["run"][-1]["activity"]["name"]


def test_an_action_that_hangs_is_ended_and_never_green(experiment, on_memory, monkeypatch):
    """Chaos Toolkit has a time-out for processes and none for actions."""
    hanging, bounding = WhenSomethingHangs(), environment.interrupts.Bounding

    class Hangs(ServersLost):
        def apply(self, scene):
            hanging.hang()

    monkeypatch.setattr(environment.interrupts, "Bounding", lambda *_: bounding(hanging))
    in_place_of_all_faults(monkeypatch, Hangs)
    try:
        journal = run_experiment(experiment)
    finally:
        hanging.release()
    assert not green(journal)
    assert journal["drplatform"]["verdict"] == "INCONCLUSIVE"
    assert "Waited" in journal["drplatform"]["summary"]
    assert journal["run"][-1]["status"] == "failed", "the method stopped at the disaster"


def test_nothing_recovered_is_never_green(experiment, on_memory):
    experiment["method"].pop()
    journal = run_experiment(experiment)
    assert not green(journal)
    assert journal["drplatform"]["verdict"] != "PASSED"


def test_a_target_that_is_too_tight_is_never_green(experiment, on_memory, tmp_path):
    text = (ROOT / "drplatform/policy.yaml").read_text()
    tight = yaml.safe_load(text)
    tight["objectives"]["rto"]["critical"] = "0.001s"
    experiment["configuration"]["policy"] = str(tmp_path / "tight.yaml")
    (tmp_path / "tight.yaml").write_text(yaml.safe_dump(tight))
    journal = run_experiment(experiment)
    assert not green(journal)
    assert journal["drplatform"]["verdict"] == "FAILED"
    assert "rto" in journal["drplatform"]["summary"].lower()


def test_the_control_judges_also_where_the_hypothesis_does_not(experiment, on_memory, monkeypatch):
    """Nobody asks for the verdict, no action fails; still the experiment cannot be green."""
    in_place_of_all_faults(monkeypatch, NothingHappens)
    del experiment["steady-state-hypothesis"]
    assert not green(run_experiment(experiment))


@pytest.mark.parametrize("dry", [Dry.ACTIONS, Dry.PROBES, Dry.ACTIVITIES, Dry.PAUSE])
def test_a_dry_run_starts_nothing_and_is_no_evidence(experiment, on_memory, tmp_path, dry):
    experiment["dry"] = dry
    journal = run_experiment(experiment)
    assert not green(journal)
    assert not on_memory
    assert not (tmp_path / "reports").exists()


def test_an_action_that_is_left_out_is_never_green(experiment, on_memory):
    """Chaos Toolkit skips an activity that is marked dry; the next action must not do what this one should have."""
    experiment["method"][0]["dry"] = Dry.ACTIONS
    journal = run_experiment(experiment)
    assert not green(journal)
    assert "back_up" in journal["run"][0]["activity"]["name"] and not journal["run"][0].get("output")


def test_an_action_in_the_background_is_refused(experiment, on_memory, caplog):
    experiment["method"][0]["background"] = True
    assert not green(run_experiment(experiment))
    assert "background" in caplog.text
    assert not on_memory


def test_without_our_control_no_action_does_anything(experiment, on_memory):
    experiment["controls"] = []
    journal = run_experiment(experiment)
    assert not green(journal)
    assert not on_memory


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"fault": "no-such-fault"}, "no-such-fault"),
        ({"fault": "servers-lost", "parameters": {"region": "nowhere", "stores": ["redis"]}}, "nowhere"),
        ({"fault": "servers-lost", "parameters": {"colour": "red"}}, "colour"),
    ],
)
def test_a_plan_that_cannot_run_is_refused_before_anything_is_hurt(experiment, on_memory, caplog, change, told):
    experiment["method"][2]["provider"]["arguments"] = change
    journal = run_experiment(experiment)
    assert not green(journal)
    assert told in caplog.text
    assert not journal["run"]


def test_a_platform_that_nobody_knows_is_refused_before_anything_is_started(experiment, on_memory, caplog):
    experiment["configuration"]["wanted"] = ["moon"]
    assert not green(run_experiment(experiment))
    assert "moon" in caplog.text
    assert not on_memory


def test_recovery_without_a_backup_is_never_green(experiment, on_memory):
    experiment["method"].pop(0)
    assert not green(run_experiment(experiment))


# -- shipped experiments ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_shipped_experiment_is_valid_and_always_heals(path):
    shipped = load_experiment(str(path))
    ensure_experiment_is_valid(shipped)
    assert shipped["runtime"]["rollbacks"]["strategy"] == "always"
    assert "drplatform.chaos.control" in str(shipped["controls"])


@pytest.mark.parametrize("path", ON_CLUSTERS, ids=lambda path: path.stem)
def test_an_experiment_on_a_cluster_is_inconclusive_where_there_is_none_before_anything_is_hurt(
    path, on_memory, caplog, monkeypatch, tmp_path
):
    for name, value in {"PLATFORM": "embedded", "REPORTS": str(tmp_path / "reports")}.items():
        monkeypatch.setenv(f"DRPLATFORM_{name}", value)
    for name in ("KUBECONFIG", "TEST_KUBECONFIG"):
        monkeypatch.delenv(f"DRPLATFORM_{name}", raising=False)
    journal = run_experiment(load_experiment(str(path)))
    assert not green(journal)
    assert journal["drplatform"]["verdict"] == "INCONCLUSIVE"
    assert "does not offer" in caplog.text and any(lacking in caplog.text for lacking in ("pods", "store:kubernetes"))
    assert not journal["run"]


def variables(tmp_path):
    ours = {"DRPLATFORM_STATE": tmp_path / "state", "DRPLATFORM_SCRATCH": tmp_path, "DRPLATFORM_REPORTS": tmp_path / "reports"}
    return {**os.environ, **{name: str(value) for name, value in ours.items()}}


def run_chaos(tmp_path, *arguments, **options):
    program = [str(Path(sys.executable).parent / "chaos"), "--no-version-check"]
    return subprocess.Popen([*program, *arguments], cwd=tmp_path, env=variables(tmp_path), text=True, **options)


def run_ours(tmp_path, *arguments):
    program = str(Path(sys.executable).parent / "drplatform")
    return subprocess.run([program, *arguments], env=variables(tmp_path), text=True, capture_output=True, timeout=200, check=False)


def some_in_soak(*small):
    """All shipped experiments, those that are not named only in `make soak`."""
    marks = {path: () if path.stem in small else (pytest.mark.soak,) for path in SHIPPED}
    return [pytest.param(path, id=path.stem, marks=marks[path]) for path in SHIPPED]


def run_shipped(directory, experiment):
    """The exit code of `chaos run`, and the journal."""
    with run_chaos(directory, "run", str(experiment), stderr=subprocess.PIPE) as chaos:
        try:
            told = chaos.communicate(timeout=280)[1]
        except subprocess.TimeoutExpired:
            chaos.kill()
            raise
    assert left_of(directory) == []
    assert (directory / "journal.json").exists(), told
    return chaos.returncode, json.loads((directory / "journal.json").read_text())


AT_ONCE = 2
"""Experiments that run at the same time, each on a platform of its own: while one waits, the other works."""


@pytest.fixture(scope="module")
def runs(request, tmp_path_factory):
    """The runs of the shipped experiments that are asked for, begun in the order of their tests."""
    asked = {
        item.callspec.params["run"] for item in request.session.items if "run" in getattr(getattr(item, "callspec", None), "params", {})
    }
    directories = {path: tmp_path_factory.mktemp(path.stem) for path in SHIPPED if path in asked}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {path: pool.submit(run_shipped, directory, path) for path, directory in directories.items()}
        pool.shutdown(cancel_futures=True)


@pytest.fixture
def run(request, runs):
    """The exit code and the journal of a shipped experiment, and what it says itself."""
    return (*runs[request.param].result(), load_experiment(str(request.param)))


def hurt_by(shipped):
    """The stores of whose users an experiment says that they may notice something."""
    inflicted = [a["provider"]["arguments"] for a in shipped["method"] if a["provider"]["func"] == "inflict"]
    region = shipped["configuration"]["region"]
    region = region if isinstance(region, str) else region["default"]
    return {s for a in inflicted for s in environment.fault(a["fault"])(**{**(a.get("parameters") or {}), **_in(a, region)}).affects()}


def _in(arguments, region):
    return {"region": region} if "region" in (arguments.get("parameters") or {}) else {}


def test_there_are_experiments_enough_over_the_catalogue():
    faults = {
        a["provider"]["arguments"]["fault"]
        for e in SHIPPED
        for a in load_experiment(str(e))["method"]
        if a["provider"]["func"] == "inflict"
    }
    assert len(SHIPPED) >= 20 and len(faults) >= 20
    assert faults <= set(environment.fault_kinds())


@pytest.mark.parametrize("run", SHIPPED, ids=lambda path: path.stem, indirect=True)
def test_a_shipped_experiment_passes_on_real_servers(run):
    code, journal, shipped = run
    assert code == 0 and green(journal), journal.get("drplatform", journal)["summary"]
    measured = journal["drplatform"]["evidence"]["measurements"]
    assert {m["subject"] for m in measured if m["name"] == "rto"} == hurt_by(shipped)
    assert {m["subject"] for m in measured if m["name"] == "rpo"} >= set(shipped["configuration"]["stores"])


DESTROYERS = {"mongodb": "documents-deleted", "redis": "redis-flushed", "files": "bucket-emptied"}


def planted(shipped):
    """The experiment with a false expectation, and its policy: no recovery is fast enough; or, where nobody is to notice anything, acknowledged
    writes are destroyed in the end."""
    changed, policy = copy.deepcopy(shipped), yaml.safe_load((ROOT / "drplatform/policy.yaml").read_text())
    if hurt_by(shipped):
        policy["objectives"]["rto"] = dict.fromkeys(policy["objectives"]["rto"], "0.001s")
    else:
        changed["method"].append(action("inflict", fault=DESTROYERS[shipped["configuration"]["stores"][0]]))
    return changed, policy


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_every_experiment_has_a_false_expectation_that_can_be_planted(path):
    """Automatically, from what it does; one to which this does not apply fails here."""
    shipped = load_experiment(str(path))
    changed, policy = planted(shipped)
    ensure_experiment_is_valid(changed)
    assert (changed, policy) != (shipped, yaml.safe_load((ROOT / "drplatform/policy.yaml").read_text()))
    assert hurt_by(shipped) or {DESTROYERS[shipped["configuration"]["stores"][0]]} <= set(environment.fault_kinds())


@pytest.mark.parametrize("run", SHIPPED, ids=lambda path: path.stem, indirect=True)
def test_a_shipped_experiment_is_red_when_any_of_its_expectations_is_false(run):
    """Judged again from the record of its own run, with one expectation after the other planted false. `make soak` plants before the run."""
    _, journal, shipped = run
    recorded = Evidence.from_json(journal["drplatform"]["evidence"])
    measurements, checks = [measurement_of(m) for m in recorded.measurements], [check_of(c) for c in recorded.checks]
    assert judge(measurements, checks, recorded.doubts) is Verdict.PASSED and ends_green(recorded, Verdict.PASSED)
    assert {m.subject for m in measurements if m.name == "rto"} == hurt_by(shipped), "what is planted before the run is judged here"
    assert {c.name for c in checks} >= {f"{store} holds what was written and nothing else" for store in shipped["configuration"]["stores"]}
    planted = [(false, checks) for false in one_changed(measurements, out_of_reach)]
    planted += [(measurements, false) for change in (failed, blind) for false in one_changed(checks, change)]
    for parts in planted:
        verdict = judge(*parts)
        assert verdict is not Verdict.PASSED and not ends_green(recorded, verdict), parts


def measurement_of(document):
    bounds = Interval(document["lower"], document["upper"])
    return Measurement(document["name"], document["subject"], document["target"], bounds, document["reason"])


def check_of(document):
    return Check(document["name"], Verdict[document["verdict"]], document["finding"], document["control"] == "caught")


def one_changed(parts, change):
    """The parts, each time with another one changed."""
    return [[*parts[:at], change(part), *parts[at + 1 :]] for at, part in enumerate(parts)]


def out_of_reach(measurement):
    return dataclasses.replace(measurement, target=min(0.001, measurement.actual.upper))


def failed(check):
    return dataclasses.replace(check, verdict=Verdict.FAILED)


def blind(check):
    """The checker misses what was planted for it."""
    return dataclasses.replace(check, control=False)


def ends_green(recorded, verdict):
    """How the experiment ends when this is its drill's verdict."""

    class Ended(session.Session):
        def __init__(self):
            pass

        def end(self):
            return dataclasses.replace(recorded, verdict=verdict)

    journal = {"status": "completed", "deviated": False}
    control.after_experiment_control({}, journal, {session.KEY: Ended()})
    return green(journal)


@pytest.mark.parametrize("path", some_in_soak("hang-redis"))
def test_a_shipped_experiment_whose_expectation_is_false_is_red_on_real_servers(tmp_path, path):
    shipped, policy = planted(load_experiment(str(path)))
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(policy))
    shipped["configuration"]["policy"] = str(tmp_path / "policy.yaml")
    (tmp_path / "planted.json").write_text(json.dumps(shipped))
    code, journal = run_shipped(tmp_path, tmp_path / "planted.json")
    assert code != 0 and not green(journal)
    assert journal["drplatform"]["verdict"] in ("FAILED", "INCONCLUSIVE")
    assert journal["drplatform"]["evidence"]["faults"], "it is red for what was measured, and not because nothing ran"


def test_an_interrupted_experiment_leaves_nothing_and_is_not_green(tmp_path, clock):
    experiment = str(ROOT / "experiments/kill-primary-region.yaml")
    with run_chaos(tmp_path, "run", experiment, stderr=subprocess.PIPE) as chaos:
        before = list(itertools.takewhile(lambda line: "disaster confirmed" not in line, chaos.stderr))
        chaos.send_signal(signal.SIGINT)
        after = chaos.stderr.read()
        chaos.wait(timeout=120)
    assert "kill the region" in before[-1], "".join(before)
    assert chaos.returncode != 0, after
    assert not green(json.loads((tmp_path / "journal.json").read_text()))
    clocks.wait_for(clock, "the servers to be gone", lambda: not left_of(tmp_path), within=20)


ACTIVITIES = ("clients write", "Redis hangs", "the disaster is over", "clients go on")
"""The boundaries of an experiment: where each of its activities begins."""


@pytest.mark.parametrize(
    "boundary", [pytest.param(a, marks=() if a == "the disaster is over" else (pytest.mark.soak,)) for a in ACTIVITIES]
)
def test_what_a_killed_experiment_has_left_is_gone_after_heal(tmp_path, clock, boundary):
    """SIGKILL at each boundary; the next command finds servers and directory by what the run had noted."""
    with run_chaos(tmp_path, "run", str(ROOT / "experiments/hang-redis.yaml"), stderr=subprocess.PIPE) as chaos:
        told = list(itertools.takewhile(lambda line: f"Action: {boundary}" not in line, chaos.stderr))
        chaos.kill()
        chaos.stderr.read()
    assert chaos.returncode == -signal.SIGKILL, "".join(told)
    assert left_of(tmp_path), "planted: servers are still there"
    healed = run_ours(tmp_path, "heal")
    assert healed.returncode == 0, healed.stderr
    clocks.wait_for(clock, "the servers to be gone", lambda: not left_of(tmp_path), within=20)


def left_of(scratch):
    """Processes whose arguments name the directory, and platforms in it."""
    found = [str(path) for path in scratch.glob("drplatform-*/*") if path.is_dir()]
    for process in Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_bytes() if process.name.isdigit() else b""
        except OSError:
            continue
        if str(scratch).encode() in words and int(process.name) != os.getpid():
            found.append(words.replace(b"\0", b" ").decode())
    return found


def test_what_is_left_would_be_found(tmp_path):
    left = tmp_path / "drplatform-0" / "platform"
    left.mkdir(parents=True)
    waits = [sys.executable, "-c", "print(flush=True); input()", str(tmp_path)]
    with subprocess.Popen(waits, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"\n"  # a child that has just begun shows no arguments yet
        found = left_of(tmp_path)
        process.communicate(b"\n")
    assert len(found) == 2


def test_chaos_toolkit_discovers_actions_and_probes(tmp_path):
    arguments = ("discover", "drplatform", "--no-install", "--discovery-path", str(tmp_path / "found.json"))
    with run_chaos(tmp_path, *arguments, stderr=subprocess.PIPE) as chaos:
        told = chaos.communicate(timeout=60)[1]
    assert chaos.returncode == 0, told
    activities = json.loads((tmp_path / "found.json").read_text())["activities"]
    kinds = {kind: {a["name"] for a in found} for kind, found in itertools.groupby(activities, key=lambda a: a["type"])}
    assert {"inflict", "recover", "back_up"} <= kinds["action"]
    assert {"answers", "verdict"} <= kinds["probe"]
    assert all(a["doc"] for a in activities)
