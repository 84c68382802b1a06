"""`--trials N`: each drill N times, and nothing else."""

import subprocess
import sys

FEATURE = "Feature: F\n  Scenario: S\n    Given the platform runs in two regions\n"


def test_each_drill_is_collected_so_many_times(tmp_path):
    (tmp_path / "test_features.py").write_text("from pytest_bdd import scenarios\nscenarios('.')\ndef test_other(): pass\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "f.feature").write_text(FEATURE)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-q", "--trials", "3", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.partition("::")[2] for line in done.stdout.splitlines() if "::" in line]
    assert sorted(lines) == ["test_other", "test_s[trial-1]", "test_s[trial-2]", "test_s[trial-3]"]
