"""What keeps faults within bounds: limits, places, leases, the comparison of what was touched with what was declared, the kill switch."""

import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import real_servers
from real_servers import CLOCK

from drplatform.engine import guardrails, scan
from drplatform.engine.killswitch import KillSwitch
from drplatform.model import clock as clocks
from drplatform.model import errors, powers

NOW = datetime(2026, 3, 1, tzinfo=UTC)
AIM = powers.Aim(("a", "b", "c"), 6, frozenset({"primary"}))
HERE = ("127.0.0.1",)
LEASE = {"by": "Ada", "hosts": ["db.example.org"], "faults": ["server-killed"], "until": "2026-03-02T00:00:00+00:00"}


def refused(limits, aim=AIM, hosts=HERE, lease=None, fault="server-killed", now=NOW):
    with pytest.raises(errors.PlanError) as raised:
        guardrails.Guard(limits, lease and guardrails.Lease.parse(lease)).require(fault, aim, hosts, now)
    return str(raised.value)


def test_what_is_within_the_limits_may_happen():
    guardrails.Guard(guardrails.Limits(3, 0.5, frozenset({"primary"}))).require("server-killed", AIM, HERE, NOW)


@pytest.mark.parametrize(
    ("limits", "aim", "told"),
    [
        (guardrails.Limits(targets=2), AIM, "3 targets, more than the 2"),
        (guardrails.Limits(share=0.49), AIM, "50 %"),
        (guardrails.Limits(regions=frozenset({"secondary"})), AIM, "touch primary"),
        (guardrails.Limits(), powers.Aim(("a",), 1, destroys=True), "destroys"),
        (guardrails.Limits(), powers.Aim((), 5), "nothing"),
    ],
)
def test_what_is_beyond_a_limit_is_refused(limits, aim, told):
    assert told in refused(limits, aim)


def test_everything_that_speaks_against_it_is_told_at_once():
    told = refused(guardrails.Limits(1, 0.1), hosts=("10.0.0.1",))
    assert all(words in told for words in ("more than the 1", "10 %", "10.0.0.1"))


def test_hosts_must_be_named_and_production_must_be_leased():
    assert "db.example.org" in refused(guardrails.Limits(), hosts=("db.example.org",))
    limits = guardrails.limits({"hosts": ["*.staging.example.org"], "production": ["db.example.org"]}, guardrails.Limits())
    guardrails.Guard(limits).require("server-killed", AIM, ("a.staging.example.org", *HERE), NOW)
    assert "no lease" in refused(limits, hosts=("db.example.org",))
    guardrails.Guard(limits, guardrails.Lease.parse(LEASE)).require("server-killed", AIM, ("db.example.org",), NOW)
    assert "no lease" in refused(limits, hosts=("db.example.org",), lease=LEASE, fault="region-lost")
    assert "no lease" in refused(limits, hosts=("db.example.org",), lease=LEASE, now=NOW + timedelta(days=2))
    assert "no lease" in refused(limits, hosts=("db.example.org",), lease={**LEASE, "hosts": ["other"]})


def test_clusters_must_be_on_this_machine_or_named_and_production_must_be_leased():
    def told(document, place, lease=None, fault="node-lost"):
        guard = guardrails.Guard(guardrails.limits(document, guardrails.Limits()), lease and guardrails.Lease.parse(lease))
        try:
            guard.require(fault, AIM, HERE, NOW, [guardrails.Place(*place)])
            guard.require_clusters([fault], [guardrails.Place(*place)], NOW)
        except errors.PlanError as error:
            return str(error)
        return ""

    far = ("live", "api.example.org")
    assert told({}, ("kind-drplatform", "127.0.0.1")) == ""
    assert "DRPLATFORM_GUARDRAILS" in told({}, far)
    assert "not among those" in told({"contexts": ["staging-*"]}, far)
    assert told({"contexts": ["staging-*"]}, ("staging-2", "api.example.org")) == ""
    assert told({"hosts": ["*.example.org"]}, far) == ""
    for production in (["live"], ["api.example.org"]):
        everywhere = {"contexts": ["*"], "hosts": ["*"], "production": production}
        assert "is production, and no lease" in told(everywhere, far)
        leased = {"by": "Ada", "contexts": ["live"], "faults": ["node-lost"], "until": LEASE["until"]}
        assert told(everywhere, far, leased) == ""
        assert told(everywhere, far, {**LEASE, "hosts": ["api.*"], "faults": ["node-lost"]}) == ""
        assert "no lease" in told(everywhere, far, {**leased, "faults": ["pod-killed"]})
        assert "no lease" in told(everywhere, far, {**leased, "until": "2026-02-28T00:00:00+00:00"})
    assert "is production" in told({"production": ["live"]}, ("live", "127.0.0.1")), "also where it is reached through this machine"


@pytest.mark.parametrize("change", [{"until": "2026-03-02T00:00:00"}, {"until": "soon"}, {"hosts": None}, {"by": None, "faults": 3}])
def test_a_lease_that_does_not_say_what_it_must_is_refused(change):
    with pytest.raises(errors.SettingsError):
        guardrails.Lease.parse({**LEASE, **change})


def test_guardrails_with_a_slip_are_refused():
    for wrong in ({"host": []}, {"hosts": "a"}):
        with pytest.raises(errors.SettingsError):
            guardrails.limits(wrong, guardrails.Limits())


def test_what_was_touched_is_compared_with_what_was_declared():
    before = {"a": {"process": "running", "started": "1"}, "z": {"process": "running", "started": "2"}}
    killed = {**before, "a": {"process": "absent"}}
    scan.require_declared(before, killed, AIM, "server-killed")
    with pytest.raises(errors.Inconclusive, match="z changed, too"):
        scan.require_declared(before, {**killed, "z": {"process": "running", "started": "3"}}, AIM, "server-killed")
    again = {**before, "a": {"process": "running", "started": "9"}}
    assert scan.left(before, again) == {}, "started again is healed"
    assert scan.left(before, killed).keys() == {"a"}


@pytest.fixture
def switch(tmp_path):
    pulled = threading.Event()
    made = KillSwitch(tmp_path / "state" / "stop.json", pulled.set)
    return made, pulled


def test_a_pulled_switch_interrupts_what_runs_and_lets_nothing_begin(switch):
    made, interrupted = switch
    with made.obeyed(CLOCK):
        assert not interrupted.is_set()
        made.pull("Ada", "now")
        clocks.wait_for(CLOCK, "the interruption", interrupted.is_set, within=20)
    with pytest.raises(errors.SettingsError, match=r"Ada.*--release"), made.obeyed(CLOCK):
        pytest.fail("it began")
    made.release()
    interrupted.clear()
    with made.obeyed(CLOCK):
        pass
    assert not interrupted.is_set()


def test_a_switch_that_cannot_be_read_counts_as_pulled(switch):
    made, _ = switch
    made.path.parent.mkdir()
    made.path.write_text("{")
    with pytest.raises(errors.SettingsError):
        made.require_released()


OBEYS = """
import sys, threading
from drplatform.environment import Environment, Settings
from real_servers import CLOCK
env = Environment.open(Settings.read())
try:
    with env.kill_switch().obeyed(CLOCK):
        print("begun", flush=True)
        threading.Event().wait(60)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_a_run_in_the_background_of_a_shell_which_ignores_interrupts_obeys_it_too(tmp_path):
    variables = {**os.environ, "DRPLATFORM_STATE": str(tmp_path), "PYTHONPATH": str(Path(real_servers.__file__).parent)}
    ignoring = [
        sys.executable,
        "-c",
        f"import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.executable, [sys.executable, '-c', {OBEYS!r}])",
    ]
    with subprocess.Popen(ignoring, env=variables, stdout=subprocess.PIPE) as running:
        assert running.stdout.readline() == b"begun\n"
        KillSwitch(tmp_path / "stop.json", lambda: None).pull("Ada", "now")
        assert running.wait(50) == 130
