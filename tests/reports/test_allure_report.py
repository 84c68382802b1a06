"""Allure results of a drill: complete, loadable, stable over runs."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import attr
import example
import pytest
from allure_commons import model2

from drplatform.model import errors
from drplatform.model.secret import Secret
from drplatform.reports import allure


def written(directory: Path, evidence: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(allure.write(evidence, directory).read_text(encoding="utf-8"))
    return document


def every_step(item: dict[str, Any]) -> list[dict[str, Any]]:
    steps = item.get("steps", [])
    return [*steps, *(inner for step in steps for inner in every_step(step))]


@pytest.mark.parametrize(("make", "status"), list(zip(example.ALL, ("passed", "failed", "broken"), strict=True)))
def test_the_verdict_is_the_status(tmp_path: Path, make: Any, status: str) -> None:
    result = written(tmp_path, make())
    assert result["status"] == status
    assert ("statusDetails" in result) == (status != "passed")


@pytest.mark.parametrize("make", (*example.ALL, example.bare))
def test_results_have_only_the_fields_and_values_of_the_format(tmp_path: Path, make: Any) -> None:
    result = written(tmp_path, make())
    assert set(result) <= {field.name for field in attr.fields(model2.TestResult)}
    assert result["uuid"] and result["historyId"] and result["fullName"] and result["start"] <= result["stop"]
    for step in every_step(result):
        assert set(step) <= {field.name for field in attr.fields(model2.TestStepResult)}
        assert step["name"] and step["status"] in ("passed", "failed", "broken", "skipped")
        assert result["start"] <= step["start"] <= step["stop"]


def test_every_sentence_step_target_and_check_is_told_once(tmp_path: Path) -> None:
    evidence = example.failed()
    names = [step["name"] for step in every_step(written(tmp_path, evidence))]
    assert names[: len(example.SENTENCES)] == [s["text"] for s in evidence.scenario["sentences"]]
    for span in evidence.spans:
        assert names.count(f"{span['phase']}: {span['step']}") == 1
    assert sum(name.startswith(("RTO of", "RPO of")) for name in names) == len(evidence.measurements)
    assert all(any(name.startswith(check["name"] + ": ") for name in names) for check in evidence.checks)


def test_the_recovery_is_told_even_when_its_sentence_has_no_times(tmp_path: Path) -> None:
    result = written(tmp_path, dataclasses.replace(example.passed(), timeline=()))
    (recovery,) = [step for step in result["steps"] if step["name"] == "Recovery"]
    assert len(recovery["steps"]) == len(example.SPANS)


def test_attachments_are_there_and_named(tmp_path: Path) -> None:
    result = written(tmp_path, example.passed())
    named = {a["name"]: tmp_path / a["source"] for a in result["attachments"]}
    assert list(named) == ["Report of the drill", "Summary", "Measurements", "Losses", "Timeline", "Evidence"]
    assert named["Report of the drill"].read_text(encoding="utf-8").startswith("<!doctype html>")
    assert json.loads(named["Evidence"].read_bytes())["id"] == example.passed().id
    assert len(named["Timeline"].read_text(encoding="utf-8").splitlines()) == len(example.timeline()) + 1
    assert "RTO,mongodb,12.38,12.608,3600.0,PASSED," in named["Measurements"].read_text(encoding="utf-8")


def test_the_history_id_depends_on_scenario_and_platform_alone(tmp_path: Path) -> None:
    one, other = written(tmp_path, example.passed()), written(tmp_path, example.failed())
    assert one["historyId"] == other["historyId"] and one["uuid"] != other["uuid"]
    elsewhere = dataclasses.replace(example.passed(), platform="kubernetes")
    assert allure.history_id(elsewhere) != one["historyId"]
    counted = [p["name"] for p in one["parameters"] if not p.get("excluded")]
    assert counted == ["platform"]


def test_the_same_evidence_twice_is_one_result(tmp_path: Path) -> None:
    allure.write(example.passed(), tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    allure.write(example.passed(), tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_severity_tags_and_place_in_the_trees(tmp_path: Path) -> None:
    labels = allure.labels(example.passed())
    assert ("severity", "critical") in labels and ("epic", "Monthly drills") in labels
    assert ("feature", "Monthly recovery of the databases") in labels
    assert [v for n, v in labels if n == "tag"] == example.passed().scenario["tags"]
    assert ("severity", "normal") in allure.labels(example.bare())


def categories_of(message: str, status: str) -> list[str]:
    return [name for name, on, pattern in allure.CATEGORIES if status in on and re.fullmatch(pattern, message)]


def test_each_kind_of_trouble_has_its_category(tmp_path: Path) -> None:
    failed = written(tmp_path, example.failed())
    assert categories_of(failed["statusDetails"]["message"], "failed") == [name for name, _, _ in allure.CATEGORIES[:3]]
    broken = written(tmp_path, example.inconclusive())
    assert categories_of(broken["statusDetails"]["message"], "broken") == [name for name, _, _ in allure.CATEGORIES[4:7]]
    assert categories_of("no server\nat all", "broken") == ["Could not run"]
    assert categories_of("replay broke off", "failed") == ["Failed for another reason"]


def test_the_surroundings_are_readable_by_allure(tmp_path: Path) -> None:
    odd = dataclasses.replace(example.passed(), operator="ü\\x\ny", versions={"a key: =": "1"})
    allure.write_surroundings(str(tmp_path), odd)
    lines = (tmp_path / "environment.properties").read_text(encoding="ascii").splitlines()
    assert "operator = \\u00fc\\\\x\\ny" in lines and "version.a\\ key\\:\\ \\= = 1" in lines
    assert {c["name"] for c in json.loads((tmp_path / "categories.json").read_bytes())} == {name for name, _, _ in allure.CATEGORIES}
    assert json.loads((tmp_path / "executor.json").read_bytes())["buildName"] == odd.id


def test_a_secret_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.IntegrityError, match=r"evidence\.ledger\.key holds a Secret"):
        allure.write(dataclasses.replace(example.passed(), ledger={"key": Secret("canary")}), tmp_path)
    assert list(tmp_path.iterdir()) == []
