"""`drplatform faults`: real servers, by the real command, killed in the middle as well; what is left is seen by a scan before and after."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hanging import WhenSomethingHangs
from real_servers import CLOCK

from drplatform import cli, environment
from drplatform.engine import faulting, scan
from drplatform.environment import Environment, Settings, interrupts
from drplatform.faults.server_hung import ServerHung
from drplatform.model import clock as clocks
from drplatform.model import errors

PROGRAM = Path(sys.executable).with_name("drplatform")


class Shell:
    """The command with a state and scratch directory of its own, and a platform that is up."""

    def __init__(self, home: Path) -> None:
        self.variables = {"DRPLATFORM_STATE": str(home / "state"), "DRPLATFORM_SCRATCH": str(home / "scratch")}
        self.variables["DRPLATFORM_REPORTS"] = str(home / "reports")
        self.environment = {**os.environ, **self.variables}

    def begin(self, *arguments: object, **options) -> subprocess.Popen:
        command = [PROGRAM, *map(str, arguments)]
        return subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)

    def __call__(self, *arguments: object, code: int = 0) -> str:
        """In this process: what the command said, on both outputs."""
        told = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
            for name, value in self.variables.items():
                patch.setenv(name, value)
            returned = cli.run([str(a) for a in arguments])
        assert returned == code, told.getvalue()
        assert "Traceback" not in told.getvalue()
        return told.getvalue()

    def env(self) -> Environment:
        return Environment.open(Settings.read(self.variables))

    def look(self) -> scan.Look:
        return scan.look(self.env().attached(None))

    def journal(self) -> Path:
        return self.env().attached(None).directory / "faults.jsonl"


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    made = Shell(tmp_path_factory.mktemp("home"))
    made("platform", "up")
    yield made
    made("platform", "down")


def test_a_dry_run_says_what_it_would_touch_and_touches_nothing(shell):
    before = shell.look()
    told = shell("faults", "inject", "server-killed", "-p", "stores=redis", "--dry-run")
    assert "redis-primary-1" in told and "no evidence" in told
    assert scan.touched(before, shell.look()) == frozenset()
    assert not shell.journal().exists()


def test_what_the_guardrails_forbid_touches_nothing(shell):
    before = shell.look()
    assert "more than the 1" in shell("faults", "inject", "region-killed", "--max-targets", "1", code=2)
    assert "25 %" in shell("faults", "inject", "region-killed", "--max-share", "0.25", code=2)
    assert "destroys" in shell("faults", "inject", "redis-flushed", code=2)
    assert "primary" in shell("faults", "inject", "server-killed", "--region", "secondary", code=2)
    assert "no parameter" in shell("faults", "inject", "server-killed", "-p", "colour=red", code=2)
    assert scan.touched(before, shell.look()) == frozenset()


def test_a_cluster_has_to_be_named_before_a_namespace_of_it_is_deleted(shell, monkeypatch):
    for variable in ("DRPLATFORM_KUBECONFIG", "DRPLATFORM_TEST_KUBECONFIG"):
        monkeypatch.delenv(variable, raising=False)
    told = shell("faults", "inject", "namespace-deleted", "-p", "namespace=shop", "--destroy", code=2)
    assert "DRPLATFORM_KUBECONFIG" in told


def test_a_fault_is_caused_confirmed_and_healed(shell):
    before = shell.look()
    assert "Confirmed on redis-primary-1" in shell("faults", "inject", "server-hung", "-p", "stores=redis")
    assert scan.left(before, shell.look()).keys() == {"redis-primary-1"}
    assert "Healed server-hung" in shell("faults", "heal")
    assert scan.left(before, shell.look()) == {}
    assert "No disaster" in shell("faults", "heal")


def test_a_fault_that_hangs_is_ended_healed_and_inconclusive(shell, monkeypatch):
    hanging, bounding = WhenSomethingHangs(), interrupts.Bounding
    monkeypatch.setattr(interrupts, "Bounding", lambda *_: bounding(hanging))
    monkeypatch.setattr(ServerHung, "apply", hanging.hang)
    before = shell.look()
    try:
        told = shell("faults", "inject", "server-hung", "-p", "stores=redis", code=2)
    finally:
        hanging.release()
    assert "was not caused in time" in told and "DRPLATFORM_PATIENCE" in told
    assert faulting.pending(shell.journal()) == [] and scan.left(before, shell.look()) == {}


def test_a_stop_condition_heals_before_the_time_is_over(shell):
    before = shell.look()
    told = shell("faults", "inject", "server-killed", "-p", "stores=redis", "--for", "600", "--stop-when-down", "redis")
    assert "stop condition" in told and "Healed" in told
    assert scan.left(before, shell.look()) == {}


def test_a_command_that_fails_is_a_stop_condition(shell, tmp_path):
    before, probe = shell.look(), tmp_path / "probe"
    probe.write_text(f"#!/bin/sh\necho x >> {tmp_path}/looks\n[ $(wc -l < {tmp_path}/looks) -lt 2 ]\n")
    probe.chmod(0o755)
    told = shell("faults", "inject", "server-hung", "-p", "stores=redis", "--for", "600", "--stop-when-fails", probe)
    assert "stop condition" in told and "ended with 1" in told and "Healed" in told
    assert "before anything" in shell("faults", "inject", "server-hung", "--for", "1", "--stop-when-fails", "false", code=2)
    assert scan.left(before, shell.look()) == {}


def test_the_kill_switch_ends_an_injected_fault_and_lets_nothing_begin(shell):
    before = shell.look()
    with shell.begin("faults", "inject", "server-hung", "-p", "stores=redis", "--for", "600") as running:
        clocks.wait_for(CLOCK, "the fault", lambda: scan.left(before, shell.look()), within=200)
        shell("stop")
        told = running.communicate(timeout=200)[0]
    assert "kill switch" in told, told
    assert "--release" in shell("faults", "inject", "server-killed", code=2)
    assert "--release" in shell("drill", "run", Path(__file__).parents[2] / "features/monthly/file_recovery.feature", code=2)
    shell("stop", "--release")
    assert scan.left(before, shell.look()) == {}


MOMENTS = ("captured", "journalled", "applied", "confirmed", "healing", "healed")


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_a_killed_runner_has_left_is_healed_by_the_next_command(shell, moment):
    """Killed with SIGKILL at each boundary between the activities of a fault."""
    before = shell.look()
    script = f"""
import os, signal
from drplatform import cli, environment
from drplatform.engine import faulting
from drplatform.faults.server_hung import ServerHung
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
moment = {moment!r}
append, apply, confirm, heal = faulting._append, ServerHung.apply, ServerHung.confirm, ServerHung.heal
def appended(journal, row):
    if moment == ("captured" if row["event"] == "fault" else "healed"): die()
    append(journal, row)
    if moment == "journalled": die()
def applied(self, scene):
    apply(self, scene)
    if moment == "applied": die()
def confirmed(self, scene, before):
    receipt = confirm(self, scene, before)
    if moment == "confirmed" and receipt.targets: die()
    return receipt
def healing(self, scene, before):
    if moment == "healing": die()
    heal(self, scene, before)
faulting._append = appended
ServerHung.apply, ServerHung.confirm, ServerHung.heal = applied, confirmed, healing
cli.run(["faults", "inject", "server-hung", "-p", "stores=redis,mongodb", "-p", "count=2", "--for", "0.1"])
"""
    killed = subprocess.run([sys.executable, "-c", script], env=shell.environment, capture_output=True, text=True, timeout=200)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    hurt = moment in ("applied", "confirmed", "healing")
    assert bool(scan.left(before, shell.look())) == hurt, "planted: what was applied is still there"
    assert bool(faulting.pending(shell.journal())) == (moment != "captured")
    shell("heal")
    assert scan.left(before, shell.look()) == {}
    assert not faulting.pending(shell.journal())


def test_the_mutation_score_of_the_vault_is_told_and_leaves_the_vault_alone(shell):
    shell("keys", "generate")
    for _ in range(2):
        shell("backups", "take", "redis", "snapshot")
    env = shell.env()
    repository = environment.repository(env.attached(None).vault(), CLOCK)
    before = {info.key: repository.get(info.key) for info in repository.list("")}
    told = shell("faults", "score", "redis")
    assert "(100.0 %)" in told and "| manifest-forged | manifest | custody |" in told
    assert {info.key: repository.get(info.key) for info in repository.list("")} == before
    assert (Path(shell.environment["DRPLATFORM_REPORTS"]) / "mutation-score.md").exists()
    assert "All 2 generations look clean" in shell("backups", "anomalies", "redis")


def test_list_and_show_tell_what_there_is(shell):
    assert all(kind in shell("faults", "list") for kind in ("server-hung", "ransomware", "manifest-forged"))
    shown = shell("faults", "show", "server-hung")
    assert "-p stores=mongodb" in shown and "faults heal" in shown
    assert "recovery alone" in shell("faults", "show", "ransomware")
    assert "known are" in shell("faults", "show", "no-such", code=2)


def test_what_was_done_is_in_the_audit_log(shell):
    records = [json.loads(line) for line in (Path(shell.variables["DRPLATFORM_STATE"]) / "audit.jsonl").read_text().splitlines()]
    kinds = [record["kind"] for record in records]
    assert {"fault begun", "fault done", "faults healed done", "kill switch pulled", "kill switch released"} <= set(kinds)
    with pytest.raises(errors.SettingsError):
        shell.env().attached("no-such")
