"""Stop conditions: any command that can fail ends what runs, and says why without telling its own words."""

import threading

import pytest
from real_servers import CLOCK

from drplatform.engine import guardrails
from drplatform.environment import Settings, clusters, guarding, stopping
from drplatform.environment.stopping import StopCondition
from drplatform.model import clock as clocks
from drplatform.model import drill, errors


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(stopping, "PERIOD", 0.02)


def test_a_condition_that_breaks_interrupts_and_makes_the_run_inconclusive(tmp_path):
    healthy, interrupted = tmp_path / "healthy", threading.Event()
    healthy.touch()
    condition = StopCondition(f"test -e {healthy}")
    with pytest.raises(errors.Inconclusive, match="test ended with 1") as raised, condition.obeyed(CLOCK, interrupted.set):
        assert not interrupted.is_set()
        healthy.unlink()
        clocks.wait_for(CLOCK, "the interruption", interrupted.is_set, within=60)
        raise KeyboardInterrupt
    assert str(healthy) not in str(raised.value), "what is in a command's words may be secret"


def test_one_that_holds_interrupts_nothing_and_other_interruptions_stay_what_they_are():
    interrupted = threading.Event()
    with pytest.raises(KeyboardInterrupt), StopCondition("true").obeyed(CLOCK, interrupted.set):
        raise KeyboardInterrupt
    with StopCondition("").obeyed(CLOCK, interrupted.set):
        pass
    assert not interrupted.is_set()


@pytest.mark.parametrize(("command", "told"), [("false", "before anything"), ("/no/such/program", "cannot be run"), ("'", "cannot be run")])
def test_what_is_broken_or_no_command_is_refused_before_anything_begins(command, told):
    with pytest.raises(errors.SettingsError, match=told), StopCondition(command).obeyed(CLOCK, lambda: None):
        pytest.fail("it began")


def test_a_command_that_hangs_has_failed(monkeypatch):
    monkeypatch.setattr(stopping, "TIMEOUT", 0.05)
    assert "did not end within" in StopCondition("sleep 30").broken()


# -- clusters of a drill --------------------------------------------------------------------------------------------------------------

SCENARIO = drill.Scenario("F", "S", (), (drill.Seed((drill.CLUSTER,)), drill.Inflict("namespace-deleted", {})))
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://HOST:6443"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: live, context: {cluster: c, user: u}}]
current-context: live
"""


def settings(tmp_path, host, **files):
    variables = {"DRPLATFORM_STATE": str(tmp_path), "DRPLATFORM_KUBECONFIG": str(tmp_path / "kubeconfig")}
    (tmp_path / "kubeconfig").write_text(KUBECONFIG.replace("HOST", host))
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        variables[f"DRPLATFORM_{name.upper()}"] = str(tmp_path / name)
    return Settings.read(variables)


def refused(found, scenario=SCENARIO):
    try:
        guarding.require_clusters(found, CLOCK, scenario, object())
    except errors.PlanError as error:
        return str(error)
    return ""


def test_a_drill_is_in_no_cluster_that_was_not_allowed(tmp_path):
    """Nothing is asked of the cluster: none is there."""
    lease = "{by: Ada, contexts: [live], faults: [namespace-deleted], until: 2999-01-01T00:00:00+00:00}"
    assert refused(settings(tmp_path, "127.0.0.1")) == ""
    assert refused(settings(tmp_path, "api.example.org")) == "", "without a file the choice of the cluster is the leave"
    assert "not among those" in refused(settings(tmp_path, "api.example.org", guardrails="contexts: [staging-*]"))
    assert refused(settings(tmp_path, "api.example.org", guardrails="contexts: [live]")) == ""
    assert "production" in refused(settings(tmp_path, "127.0.0.1", guardrails="production: [live]"))
    assert refused(settings(tmp_path, "127.0.0.1", guardrails="production: [live]", lease=lease)) == ""
    with pytest.raises(errors.SettingsError, match="patterns"):
        refused(settings(tmp_path, "127.0.0.1", guardrails="[live]"))


def test_a_scenario_that_hurts_nothing_there_needs_no_leave(tmp_path):
    elsewhere = drill.Scenario("F", "S", (), (drill.Seed(("redis",)), drill.Inflict("server-killed", {})))
    assert refused(settings(tmp_path, "api.example.org"), elsewhere) == ""
    assert clusters.store(Settings.read({"DRPLATFORM_STATE": str(tmp_path)}), CLOCK, "shop") == {}
    assert guarding.guard(guardrails.Limits(3), None, None).limits.targets == 3
