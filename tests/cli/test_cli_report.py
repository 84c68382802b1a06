"""`report build`: how Allure's command is asked, by stand-ins that note what they were told."""

import json
import stat

import pytest

VERSION_2 = """#!/bin/sh
echo "$@" >> "$0.told"
case "$1" in
  --version) echo 2.46.1 ;;
  generate) cp -r "$2/history" "$0.seen" 2>/dev/null; mkdir -p "$4/history"; echo page > "$4/index.html"; echo "{}" > "$4/history/history.json" ;;
esac
"""
VERSION_3 = """#!/bin/sh
echo "$@" >> "$0.told"
case "$1" in
  --version) echo 3.18.0 ;;
  generate) cp "$3" "$0.settings" ;;
  quality-gate) printf '\\033[31m%s\\033[0m\\n' "{said}"; exit {code} ;;
esac
"""


@pytest.fixture
def results(home):
    directory = home.directory / "reports" / "allure-results"
    directory.mkdir(parents=True)
    (directory / "a-result.json").write_text("{}")
    return directory


def command(home, script):
    path = home.write("allure", script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_allure_2_gets_its_history_back(home, results):
    told = [home("report", "build", "--allure", command(home, VERSION_2)) for _ in range(2)]
    assert [t.code for t in told] == [0, 0], told[0].err
    assert "Made by Allure 2.46.1" in told[0].out
    assert (results / "history" / "history.json").exists() and (home.directory / "allure.seen").is_dir()


@pytest.mark.parametrize(("code", "said"), [(0, "fine"), (1, "maxFailures is exceeded")])
def test_allure_3_is_asked_for_its_gate(home, results, code, said):
    path = command(home, VERSION_3.format(code=code, said=said))
    told = home("report", "build", "--allure", path)
    assert told.code == code, told.err
    assert (said in told.out) == bool(code) and "\x1b[31mmax" not in told.out
    settings = json.loads((home.directory / "allure.settings").read_text())
    assert settings["qualityGate"]["rules"] == [{"maxFailures": 0, "minTestsCount": 1}]
    assert settings["historyPath"].endswith("allure-history.jsonl")


def test_an_old_node_is_told(home, results):
    path = command(home, VERSION_3.format(code=1, said="Type Error: toArray is not a function"))
    told = home("report", "build", "--allure", path)
    assert told.code == 2 and "needs Node 22 or later" in told.err and "allure-report/index.html" in told.err


@pytest.mark.parametrize("script", ["#!/bin/sh\necho nothing\n", "#!/bin/sh\nexit 3\n"], ids=["no version", "fails"])
def test_a_command_that_is_no_allure_is_refused(home, results, script):
    assert home("report", "build", "--allure", command(home, script)).code == 2


def test_without_results_or_a_command_it_says_what_to_do(home, monkeypatch):
    told = home("report", "build", "--allure", home.directory / "nothing")
    assert told.code == 2 and "There are no Allure results" in told.err
    monkeypatch.setenv("PATH", str(home.directory))
    assert "npm install -g allure" in home("report", "build").err
