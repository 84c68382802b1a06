"""The evidence's file: what is read is what was written, and its hash can be computed without this project."""

import dataclasses
import hashlib
import json
import math
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import example
import pytest

from drplatform.model import errors
from drplatform.model.evidence import GENESIS, digest, link, verify_chain
from drplatform.model.secret import Secret
from drplatform.reports import html
from drplatform.reports import json as json_report


@pytest.mark.parametrize("make", (*example.ALL, example.bare))
def test_written_and_read_is_the_same(tmp_path: Path, make: Any) -> None:
    path = json_report.write(make(), tmp_path)
    assert digest(json_report.read(path).to_json()) == digest(make().to_json())
    assert [p.name for p in tmp_path.iterdir()] == [f"{make().id}.json"]


def test_with_its_record_the_file_is_a_link_of_the_chain(tmp_path: Path) -> None:
    record = link(example.passed().to_json(), GENESIS)
    document = json.loads(json_report.write(example.passed(), tmp_path, record).read_bytes())
    assert verify_chain([document]) == record["hash"]
    document["seed"] += 1
    with pytest.raises(errors.IntegrityError):
        verify_chain([document])


@pytest.mark.parametrize("linked", (False, True))
def test_the_command_on_the_page_computes_the_hash_on_the_page(tmp_path: Path, linked: bool) -> None:
    evidence = dataclasses.replace(example.passed(), operator="Jürgen 😀", seconds=0.1 + 0.2)
    record = link(evidence.to_json(), "00" * 32) if linked else None
    path = json_report.write(evidence, tmp_path, record)
    page = unescape(html.page(evidence, record))
    (program,) = re.findall(r'python3 -c "(.*?)" ' + re.escape(path.name), page)
    found = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=20, check=True
    ).stdout.strip()
    assert found == (record or {"hash": digest(evidence.to_json())})["hash"] and found in page


def test_what_json_cannot_hold_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    for change in ({"seconds": math.nan}, {"ledger": {"key": Secret("canary")}}, {"phases": {1: 2.0}}):
        with pytest.raises(errors.IntegrityError) as refusal:
            json_report.write(dataclasses.replace(example.passed(), **change), tmp_path)
        assert "canary" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", (b"", b"[]", b"{}", b"\xff", b'{"verdict": "GREAT"}'))
def test_a_file_that_is_no_evidence_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(errors.IntegrityError, match="is not the evidence of a drill"):
        json_report.read(path)
    with pytest.raises(errors.SettingsError, match="cannot be read"):
        json_report.read(tmp_path / "missing.json")


def test_hashes_do_not_depend_on_the_layout(tmp_path: Path) -> None:
    text = json_report.text(example.passed())
    canonical = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(canonical.encode()).hexdigest() == digest(example.passed().to_json())
