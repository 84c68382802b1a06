"""The terminal's summary: aligned, narrow, complete, and never better than the evidence."""

import dataclasses
import math
from typing import Any

import example
import pytest

from drplatform.model.verdict import Measurement, Verdict
from drplatform.reports import summary, wording


@pytest.mark.parametrize("make", (*example.ALL, example.bare))
def test_lines_are_plain_and_at_most_100_wide(make: Any) -> None:
    found = summary.lines(make())
    assert all(len(line) <= 100 and line == line.rstrip() and "\x1b" not in line for line in found)
    assert found[0].startswith(make().verdict.name)


def test_a_pass_tells_targets_losses_and_checks() -> None:
    text = "\n".join(summary.lines(example.passed()))
    assert "RTO mongodb  12.38 to 12.61 s  target below 1 h (0.35 % used)     PASSED" in text
    assert "Loss redis    7 of 31,022 acknowledged writes" in text
    assert "All 6 checks passed" in text and "Why not" not in text


def test_a_failure_tells_each_target_missed_and_each_defect() -> None:
    text = "\n".join(summary.lines(example.failed()))
    for words in ("RTO of mongodb missed", "RPO of mongodb missed", "Data wrong", "1 phantom", "1 duplicated", "1 mutated"):
        assert words in text


def test_an_inconclusive_run_tells_every_doubt() -> None:
    text = " ".join(" ".join(summary.lines(example.inconclusive())).split())
    assert "RTO redis not measured" in text and "planted defect: missed" in text and "none planted" in text
    assert "Fault not confirmed: kill-servers" in text and example.inconclusive().doubts[0] in text


def test_nothing_measured_is_said() -> None:
    text = "\n".join(summary.lines(example.bare()))
    assert "Nothing was measured." in text and "is not known" in text


def test_a_pass_that_its_own_record_contradicts_is_told_so() -> None:
    text = "\n".join(summary.lines(dataclasses.replace(example.failed(), verdict=Verdict.PASSED)))
    assert "The verdict is PASSED, and yet the record says:" in text and "missed" in text


def test_long_names_are_cut_with_columns_kept() -> None:
    wide = {**example.passed().measurements[0], "subject": "a-store-" * 20}
    found = summary.lines(dataclasses.replace(example.passed(), measurements=(wide,)))
    (row,) = [line for line in found if line.startswith("RTO")]
    assert len(row) <= 100 and "…" in row and row.endswith("PASSED")


def test_shares_are_left_out_before_a_name_is_cut() -> None:
    moved = {**example.passed().measurements[0], "subject": "configuration, moving to the secondary region"}
    found = summary.lines(dataclasses.replace(example.passed(), measurements=(moved,)))
    (row,) = [line for line in found if line.startswith("RTO")]
    assert "moving to the secondary region" in row and "used" not in row and row.endswith("PASSED")


@pytest.mark.parametrize("value", (None, math.nan, math.inf, True, "x"))
def test_a_value_that_is_no_number_is_not_measured(value: Any) -> None:
    assert {wording.duration(value), wording.bounds(value, 1.0), wording.bounds(0.0, value), wording.at_most(value)} == {"not measured"}


@pytest.mark.parametrize(
    ("seconds", "words"),
    ((0, "0 s"), (0.0032, "3.2 ms"), (0.384, "0.38 s"), (12.44, "12.4 s"), (59.97, "1 min"), (303.2, "5 min 3 s"), (3600, "1 h"),
     (86400, "24 h"), (2592000, "30 d"), (-5, "-5 s")),
)  # fmt: skip
def test_durations_in_words(seconds: float, words: str) -> None:
    assert wording.duration(seconds) == words


def seconds_in(words: str) -> float:
    units = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400}
    parts = words.split()
    return sum(float(n) * units[u] for n, u in zip(parts[::2], parts[1::2], strict=True))


def test_bounds_are_rounded_outwards() -> None:
    """Over widths and magnitudes: what is printed always holds what was measured."""
    for magnitude in (0.004, 0.0712, 0.9991, 9.996, 12.345678, 59.97, 61.2, 3599.7, 3605.5, 86399.4):
        for width in (0.00003, 0.0004, 0.021, 0.37, 5.2, 77.7):
            first, _, second = wording.bounds(magnitude, magnitude + width).partition(" to ")
            low = first if first.split()[-1].isalpha() else f"{first} s"
            assert seconds_in(low) <= magnitude + 1e-6 and seconds_in(second) >= magnitude + width - 1e-6


def test_a_missed_target_never_reads_as_met() -> None:
    late = Measurement("rto", "mongodb", 3600.0, None)
    assert wording.share(3600.0, late.target) == "100 %" and wording.at_most(3600.2) == "1 h 1 min"
