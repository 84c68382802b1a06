"""The Allure report as HTML, made by Allure's own command (2 or 3) from the results that drills have written.

History goes on from build to build: Allure 3 keeps it in a file of its own, Allure 2 in a folder of its last report, from which it is brought
back into the results. The quality gate is Allure 3's: no drill failed or broken, and at least one there.
"""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from drplatform.model import errors
from drplatform.reports import documents

SECONDS = 300
HOW = (
    "There is no `allure` command; install one: `npm install -g allure` (Allure 3, Node 22 or later) "
    "or `npm install -g allure-commandline` (Allure 2, Java 8 or later), or name one with --allure."
)


@dataclass(frozen=True)
class Built:
    """The page, which Allure made it, and what its quality gate said (None: that Allure has none)."""

    page: Path
    version: str
    passed: bool | None
    said: str


def build(command: str, results: Path, into: Path) -> Built:
    """Make the report of the results. Raises SettingsError when there are none, or the command does not do it."""
    if not any(results.glob("*-result.json")):
        raise errors.SettingsError(f"There are no Allure results in {results}; run a drill first.")
    version = _version(command)
    if version.startswith("2."):
        return _build_2(command, version, results, into)
    return _build_3(command, version, results, into)


def _build_2(command: str, version: str, results: Path, into: Path) -> Built:
    if (into / "history").is_dir():
        shutil.copytree(into / "history", results / "history", dirs_exist_ok=True)
    _run([command, "generate", str(results), "--output", str(into), "--clean"])
    return Built(into / "index.html", version, None, "")


def _build_3(command: str, version: str, results: Path, into: Path) -> Built:
    settings = documents.write_whole(into.parent / "allurerc.json", json.dumps(_configuration(into), indent=2) + "\n")
    _run([command, "generate", "--config", str(settings), str(results)])
    gate = _call([command, "quality-gate", "--config", str(settings), str(results)])
    said = _plain(gate.stdout + gate.stderr)
    if "Type Error" in said or "is not a function" in said:
        raise errors.SettingsError(
            f"The report was made, {into / 'index.html'}, but Allure 3's quality gate was not asked: it needs Node 22 or later."
        )
    return Built(into / "index.html", version, gate.returncode == 0, said)


def _configuration(into: Path) -> dict[str, object]:
    return {
        "name": "Recovery drills",
        "output": str(into),
        "historyPath": str(into.parent / "allure-history.jsonl"),
        "appendHistory": True,
        "plugins": {"awesome": {"options": {"reportLanguage": "en", "singleFile": True, "groupBy": ["epic", "feature"]}}},
        "qualityGate": {"rules": [{"maxFailures": 0, "minTestsCount": 1}]},
    }


def _version(command: str) -> str:
    found = re.search(r"\d+\.\d+\.\d+", _run([command, "--version"]))
    if not found:
        raise errors.SettingsError(f"{command} does not tell its version; name the command of Allure 2 or 3 with --allure.")
    return found[0]


def _run(command: list[str]) -> str:
    done = _call(command)
    if done.returncode:
        raise errors.SettingsError(f"{' '.join(command[:2])} did not work: {_plain(done.stderr or done.stdout)[-400:]}")
    return done.stdout


def _call(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except OSError as error:
        raise errors.SettingsError(f"{command[0]} cannot be run ({error.strerror}). {HOW}") from error
    except subprocess.TimeoutExpired as error:
        raise errors.SettingsError(f"{command[0]} did not end within {SECONDS} s; run it by hand to see why.") from error


def _plain(text: str) -> str:
    """Without the colours of a terminal."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())
