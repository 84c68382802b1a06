"""Schedules for cron, systemd and Kubernetes: what is rendered is read back as its reader would, and every command line exists."""

import configparser
import re
import shlex
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
import yaml

import drplatform
from drplatform import cli
from drplatform.cli import schedule as face
from drplatform.engine import schedule
from drplatform.environment import load_policy
from drplatform.model.backup import BackupKind
from drplatform.model.policy import CONTINUOUS

ROOT = Path(drplatform.__file__).parents[1]
DEPLOY = ROOT / "deploy/base"
CONFIG = "/etc/drplatform/drplatform.yaml"


@pytest.fixture(scope="module")
def jobs():
    return schedule.plan(load_policy(DEPLOY / "policy.yaml"), face.takeable()).jobs


def parsed(words):
    """Raises what the command line itself would, if it does not exist."""
    command, arguments = cli.cli, list(words)
    context = click.Context(command)
    while isinstance(command, click.Group):
        _, command, arguments = command.resolve_command(context, arguments)
    command.make_context("drplatform", arguments)
    return command.name


def test_every_rule_becomes_a_job_or_is_told():
    policy = load_policy(None)
    plan = schedule.plan(policy, {BackupKind.FULL})
    assert len(plan.left_out) == sum(1 for r in policy.backups if r.kind is not BackupKind.FULL and r.schedule != CONTINUOUS)
    assert len(plan.jobs) + len(plan.left_out) == len(policy.backups) + 3
    assert len({job.name for job in plan.jobs}) == len(plan.jobs)
    assert {"retention", "verify"} <= {job.name for job in plan.jobs}
    everything = schedule.plan(policy, set(BackupKind))
    assert everything.left_out == ()


def test_only_the_stores_that_are_configured_have_jobs():
    policy = load_policy(None)
    plan = schedule.plan(policy, {BackupKind.FULL}, {"mongodb"})
    assert {store for job in plan.jobs for store in job.stores} == {"mongodb"}
    assert plan.left_out and all(rule.startswith("mongodb") for rule in plan.left_out), "what is not configured is not missed either"


def test_every_command_line_exists(jobs):
    assert {parsed((*job.arguments, "--config", CONFIG)) for job in jobs} == {"take", "capture", "prune", "keep", "verify"}
    with pytest.raises(click.UsageError):
        parsed(("backups", "take", "mongodb", "nonsense"))
    with pytest.raises(click.UsageError):
        parsed(("backups", "invent"))


# -- crontab ------------------------------------------------------------------------------------------------------------------


def test_crontab_says_when_in_utc_and_what(jobs):
    lines = [line for line in schedule.crontab(jobs, CONFIG).splitlines() if not line.startswith("#")]
    assert lines[:2] == ["CRON_TZ=UTC", "TZ=UTC"]
    found = {}
    for line in lines[2:]:
        when, words = (
            (line.split(None, 1)[0], line.split(None, 1)[1])
            if line.startswith("@")
            else (" ".join(line.split()[:5]), line.split(None, 5)[5])
        )
        program, *arguments = shlex.split(words)
        assert program == "drplatform" and parsed(arguments)
        found[tuple(arguments[:-2])] = when
    assert found == {job.arguments: "@reboot" if job.is_continuous else job.schedule for job in jobs}


def test_odd_places_survive_the_shell_and_cron():
    job = schedule.Job("a", "0 1 * * *", ("backups", "verify", "--all"), "x")
    (line,) = [line for line in schedule.crontab([job], "/etc/dr's 100%/c.yaml").splitlines() if line.startswith("0 1")]
    assert shlex.split(line.replace(r"\%", "%"))[5:] == ["drplatform", *job.arguments, "--config", "/etc/dr's 100%/c.yaml"]
    assert not re.search(r"(?<!\\)%", line)


# -- systemd ------------------------------------------------------------------------------------------------------------------


def test_units_are_whole(jobs):
    files = schedule.systemd(jobs, CONFIG)
    assert len(files) == len(jobs) + sum(1 for job in jobs if not job.is_continuous)
    for name, text in files.items():
        unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
        unit.optionxform = str
        unit.read_string(text)
        if name.endswith(".timer"):
            assert name.replace(".timer", ".service") in files and unit["Timer"]["Persistent"] == "true"
        else:
            program, own, *arguments = shlex.split(unit["Service"]["ExecStart"])
            assert (program, own) == ("/usr/bin/env", "drplatform") and parsed(arguments)
            assert unit["Service"]["NoNewPrivileges"] == "yes"
            assert ("Install" in unit) == (unit["Service"]["Type"] == "exec")


CRONS = ("0 1 * * *", "0 * * * *", "30 2 * * *", "*/15 3-5 * * *", "5 4 1,15 * *", "0 5 * * 0", "0 5 * * 7", "0 6 * * 1-5", "10/20 0 * 2 *",
         "0 12 13 * 5", "0 0 */10 * *", "0 1 * 1-6/2 */3")  # fmt: skip


def times(cron, since, count):
    """When cron would run it, minute by minute: crontab(5)."""
    minute, hour, day, month, weekday = cron.split()
    found, moment = [], since
    while len(found) < count:
        moment += timedelta(minutes=1)
        days = moment.day in values(day, 1, 31), (moment.isoweekday() % 7) in {n % 7 for n in values(weekday, 0, 7)}
        either = not day.startswith("*") and not weekday.startswith("*")
        if (
            moment.minute in values(minute, 0, 59)
            and moment.hour in values(hour, 0, 23)
            and moment.month in values(month, 1, 12)
            and (any(days) if either else all(days))
        ):
            found.append(moment)
        elif moment.hour not in values(hour, 0, 23):
            moment = moment.replace(minute=59)
    return found


def values(field, low, high):
    found = set()
    for item in field.split(","):
        span, _, step = item.partition("/")
        begin, _, end = span.partition("-")
        first = low if span == "*" else int(begin)
        last = high if span == "*" or (step and not end) else int(end or begin)
        found |= set(range(first, last + 1, int(step or 1)))
    return found


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze to read calendars as systemd does")
@pytest.mark.parametrize("cron", CRONS)
def test_systemd_runs_at_the_times_of_cron(cron):
    since = datetime(2027, 1, 1, tzinfo=UTC)
    command = ["systemd-analyze", "calendar", "--iterations=4", "--base-time=2027-01-01 00:00:00 UTC", *schedule.calendar(cron)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env={"TZ": "UTC", "LC_ALL": "C"}, timeout=20).stdout
    found = {
        datetime.strptime(m, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        for m in re.findall(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC$", said, re.M)
    }
    assert sorted(found)[:4] == times(cron, since, 4)


# -- Kubernetes ---------------------------------------------------------------------------------------------------------------


def test_pods_are_of_least_privilege(jobs):
    documents = schedule.kubernetes(jobs, "registry.example/drplatform:1", "backups")
    pods = [pod(d) for d in documents if d["kind"] != "PodDisruptionBudget"]
    assert len(pods) == len(jobs)
    for one in pods:
        (container,) = one["containers"]
        assert one["securityContext"]["runAsNonRoot"] and one["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
        }  # fmt: skip
        assert container["image"] == "registry.example/drplatform:1"
        assert container["imagePullPolicy"] == "IfNotPresent", "an image that was brought onto the nodes is used, whatever its tag"
        assert container["command"][0] == "drplatform" and parsed(container["command"][1:])
        mounts = {m["name"] for m in container["volumeMounts"]}
        assert mounts == {v["name"] for v in one["volumes"]}
        reads_cluster = "kubernetes" in container["command"]
        assert one["automountServiceAccountToken"] is reads_cluster
        assert (one["serviceAccountName"] == "drplatform-cluster-reader") is reads_cluster
    assert {d["metadata"]["namespace"] for d in documents} == {"backups"}
    for one in (d for d in documents if d["kind"] == "CronJob"):
        assert one["spec"]["concurrencyPolicy"] == "Forbid" and one["spec"]["timeZone"] == "Etc/UTC"
    captures = [d for d in documents if d["kind"] == "Deployment"]
    assert len(captures) == 2 and all(d["spec"]["strategy"] == {"type": "Recreate"} and d["spec"]["replicas"] == 1 for d in captures)
    budgets = [d["spec"]["selector"]["matchLabels"] for d in documents if d["kind"] == "PodDisruptionBudget"]
    assert budgets == [d["spec"]["selector"]["matchLabels"] for d in captures]


def pod(document):
    spec = document["spec"]
    return (spec["jobTemplate"]["spec"] if document["kind"] == "CronJob" else spec)["template"]["spec"]


def deployed():
    names = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())["resources"]
    return [d for name in names for d in yaml.safe_load_all((DEPLOY / name).read_text())]


def test_what_is_deployed_is_what_the_policy_says(jobs):
    rendered = schedule.kubernetes(jobs, "drplatform:latest", "drplatform")
    committed = list(yaml.safe_load_all((DEPLOY / "schedule.yaml").read_text()))
    assert committed
    assert [d for d in committed if d not in rendered] == [], (
        "render anew: drplatform schedule render --target kubernetes --policy deploy/base/policy.yaml --to deploy/base"
    )


def test_what_is_deployed_fits_together():
    documents = deployed()
    accounts = {d["metadata"]["name"] for d in documents if d["kind"] == "ServiceAccount"}
    pods = [pod(d) for d in documents if d["kind"] in ("CronJob", "Deployment")]
    assert {p["serviceAccountName"] for p in pods} == accounts
    (role,) = (d for d in documents if d["kind"] == "ClusterRole")
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"get", "list"}, "a backup never writes to the cluster"
    (binding,) = (d for d in documents if d["kind"] == "ClusterRoleBinding")
    assert [s["name"] for s in binding["subjects"]] == ["drplatform-cluster-reader"]
    (nothing,) = (d for d in documents if d["metadata"]["name"] == "drplatform-nothing")
    assert nothing["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    labels = [d["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"] for d in documents if d["kind"] == "CronJob"]
    for policy in (d for d in documents if d["kind"] == "NetworkPolicy" and d["metadata"]["name"] != "drplatform-nothing"):
        wanted = policy["spec"]["podSelector"]["matchLabels"].items()
        assert any(wanted <= found.items() for found in labels), f"{policy['metadata']['name']} chooses no pod"
    claims = {d["metadata"]["name"] for d in documents if d["kind"] == "PersistentVolumeClaim"}
    assert {v["persistentVolumeClaim"]["claimName"] for p in pods for v in p["volumes"] if "persistentVolumeClaim" in v} == claims


def test_the_configuration_of_the_jobs_is_one():
    from drplatform.model import config

    found = config.parse(yaml.safe_load((DEPLOY / "drplatform.yaml").read_text()))
    assert set(found.stores) == set(load_policy(DEPLOY / "policy.yaml").stores)


def test_the_cluster_on_one_machine_has_two_regions():
    nodes = yaml.safe_load((ROOT / "kind-config.yaml").read_text())["nodes"]
    regions = [node["labels"]["drplatform.io/region"] for node in nodes if node["role"] == "worker"]
    assert sorted(set(regions)) == ["primary", "secondary"]
    assert sum(node["role"] == "control-plane" for node in nodes) == 1


def test_the_command_renders_each_target(tmp_path):
    policy = str(DEPLOY / "policy.yaml")
    for target in face.TARGETS:
        code = cli.run(["schedule", "render", "--target", target, "--policy", policy, "--to", str(tmp_path / target)])
        assert code in (0, 1)
    assert {p.suffix for p in (tmp_path / "systemd").iterdir()} == {".service", ".timer"}
    assert list(yaml.safe_load_all((tmp_path / "kubernetes/schedule.yaml").read_text()))
