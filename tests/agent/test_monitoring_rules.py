"""The alert rules and the dashboard that come with drplatform: rules proved by Prometheus' own tool, every metric one that exists."""

import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from test_monitoring import GOOD, POLICY

from drplatform.model import monitoring
from drplatform.reports import metrics

MONITORING = Path(__file__).parents[2] / "deploy/monitoring"


def test_each_rule_is_raised_by_its_cause_alone():
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("needs promtool on PATH (package prometheus)")
    done = subprocess.run([promtool, "test", "rules", "alerts.test.yaml"], cwd=MONITORING, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def known():
    seen = dataclasses.replace(GOOD, damaged=("x: y",))
    page = metrics.page(seen, POLICY, monitoring.alerts(seen, POLICY), {"capture redis": 1}, {"verify": 1}).decode()
    return set(re.findall(r"^(drplatform_\w+)", page, re.MULTILINE))


def test_rules_and_dashboard_name_metrics_that_exist():
    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"][0]["rules"]
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    expressions = [r["expr"] for r in rules] + [t["expr"] for p in panels for t in p["targets"]]
    named = {name for text in expressions for name in re.findall(r"drplatform_\w+", text)}
    assert len(named) > 10 and named <= known(), named - known()
    assert "drplatform_never_made" not in known()


def test_every_rule_is_tested_by_name():
    rules = {r["alert"] for r in yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"][0]["rules"]}
    cases = yaml.safe_load((MONITORING / "alerts.test.yaml").read_text())["tests"]
    raised = {t["alertname"] for case in cases for t in case["alert_rule_test"] if t.get("exp_alerts")}
    assert raised == rules
