"""What is wrong is said in one clear sentence on standard error, with exit code 2, before anything is touched."""

import os
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import drplatform
from drplatform import cli, environment
from drplatform.cli import drills
from drplatform.engine import backups
from drplatform.model import errors
from drplatform.model.backup import BackupKind
from drplatform.model.memory import MemoryServer
from drplatform.repositories import directory
from drplatform.stores.memory import MemoryStore

FEATURE = Path(drplatform.__file__).parents[1] / "features/monthly/database_recovery.feature"
POLICY = Path(drplatform.__file__).with_name("policy.yaml")


def check_refused(told, *words):
    assert told.code == 2, told
    assert "Traceback" not in told.err
    *progress, sentence = told.err.strip().splitlines()
    assert sentence.startswith("drplatform: ") and sentence.endswith((".", "up", "list", "generate")), sentence
    assert all(line.startswith("Starting the embedded platform") for line in progress), told.err
    for word in words:
        assert str(word) in sentence, sentence


def refused(home, *arguments, words=()):
    before = home.tree()
    told = home(*arguments)
    check_refused(told, *words)
    assert home.tree() == before, "nothing is touched"


# -- policies -----------------------------------------------------------------------------------------------------------------

BROKEN_POLICIES = {
    "no yaml": ("stores: {", "is no YAML"),
    "no text": (b"\xff\xfe\x00", "cannot be read"),
    "empty": ("", "stores: missing"),
    "a list": ("- 1\n", "mapping"),
    "an unknown field": (POLICY.read_text() + "\nextra: 1\n", "extra"),
    "a number that is none": (POLICY.read_text().replace("rto:", "rto: soon\n  other:", 1), "objectives.rto"),
    "an object of Python": ("!!python/object/apply:os.system ['touch touched']", "is no YAML"),
}


@pytest.mark.parametrize("case", BROKEN_POLICIES)
def test_a_bad_policy(home, case):
    content, word = BROKEN_POLICIES[case]
    path = home.write("policy.yaml", content)
    refused(home, "drill", "run", FEATURE, "--policy", path, words=[path, word])
    refused(home, "policy", "check", path, words=[path, word])


def test_a_missing_policy(home):
    refused(home, "drill", "run", FEATURE, "--policy", home.directory / "none.yaml", words=["none.yaml"])


# -- features, faults, settings -----------------------------------------------------------------------------------------------


def test_a_feature_that_cannot_be_read(home):
    refused(home, "drill", "run", home.directory / "none.feature", words=["none.feature"])
    refused(home, "drill", "run", home.directory, words=[home.directory])
    refused(home, "drill", "run", home.write("binary.feature", b"\xff\xfe"), words=["binary.feature"])
    refused(home, "drill", "run", home.write("empty.feature", ""), words=["empty.feature"])
    refused(home, "drill", "run", home.write("prose.feature", "Once upon a time\n"), words=["prose.feature"])
    refused(home, "drill", "run", FEATURE, "--name", "of the moon", words=["of the moon"])


def test_a_sentence_that_nobody_knows(home):
    path = home.write("moon.feature", "Feature: Moon\n  Scenario: Full\n    When the moon falls into the sea\n")
    refused(home, "drill", "run", path, words=["the moon falls into the sea", "drplatform steps"])


def test_an_unknown_fault():
    with pytest.raises(errors.SettingsError, match=r"There is no fault 'meteor'; known are .*servers-lost"):
        environment.fault("meteor")
    for sneaky in ("os", "../engine", "__init__", "servers_lost.FAULT"):
        with pytest.raises(errors.SettingsError):
            environment.fault(sneaky)


def test_an_unknown_platform_and_a_seed_that_is_no_number(home, monkeypatch):
    refused(home, "drill", "run", FEATURE, "--platform", "moon", words=["moon", "embedded"])
    monkeypatch.setenv("DRPLATFORM_SEED", "seven")
    refused(home, "drill", "run", FEATURE, words=["DRPLATFORM_SEED", "seven"])


@pytest.mark.parametrize("variable", ["DRPLATFORM_MONGOD", "DRPLATFORM_REDIS_SERVER", "DRPLATFORM_WEED"])
def test_a_missing_server_program(home, monkeypatch, variable):
    monkeypatch.setenv(variable, "/nowhere/server")
    refused(home, "drill", "run", FEATURE, words=[variable, "/nowhere/server"])
    refused(home, "platform", "up", words=[variable])


def test_places_that_cannot_be_used(home, monkeypatch):
    file = home.write("file", "")
    refused(home, "backups", "list", "--repository", file / "repository", words=[file])
    refused(home, "keys", "generate", "--file", "/proc/none/key", words=["/proc/none"])
    monkeypatch.setenv("DRPLATFORM_SCRATCH", str(file))
    refused(home, "platform", "up", words=[file, "DRPLATFORM_SCRATCH"])
    monkeypatch.setenv("DRPLATFORM_SCRATCH", str(home.scratch))
    monkeypatch.setenv("DRPLATFORM_STATE", str(file))
    refused(home, "drill", "run", FEATURE, words=[file, "DRPLATFORM_STATE"])
    refused(home, "keys", "generate", words=[file, "DRPLATFORM_STATE"])


def test_reports_that_could_not_be_written_are_told_before_the_drill(home):
    home("keys", "generate")
    refused(home, "drill", "run", FEATURE, "--reports", home.write("file", "") / "reports", words=["--reports"])


# -- backups and keys ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def vault(home, clock):
    """A directory with one backup, and the file of the key that opens it."""
    public, secret = backups.generate()
    backups.write_identity(home.directory / "right", secret, public)
    server = MemoryServer()
    store = MemoryStore(lambda: server, clock, "mongodb")
    store.seed(1, 20)
    repository = directory.open(home.directory / "vault", clock)
    backups.back_up(store, BackupKind.FULL, repository, [public], clock, random.Random(1))
    return home.directory / "vault"


def test_the_wrong_key(home, vault):
    home("keys", "generate", "--file", home.directory / "wrong")
    assert home("backups", "verify", "--all", "--repository", vault, "--identity", home.directory / "right").code == 0
    refused(home, "backups", "verify", "--all", "--repository", vault, "--identity", home.directory / "wrong", words=["key"])


def test_keys_that_are_none(home, vault):
    for content in (b"", b"nothing\n", b"\xff\xfe", b"# only a comment\n"):
        key = home.write("key", content)
        refused(home, "backups", "list", "--repository", vault, "--identity", key, words=["key"])
    refused(home, "backups", "list", "--repository", vault, "--identity", home.directory / "none", words=["none"])
    refused(home, "backups", "restore", "mongodb", "--repository", vault, "--yes", words=["--identity"])


def test_a_key_is_never_overwritten(home):
    assert home("keys", "generate").code == 0
    refused(home, "keys", "generate", words=["exists"])


def test_no_such_backup(home, vault):
    for command in ("show", "verify"):
        refused(home, "backups", command, "zzz", "--repository", vault, words=["'zzz'", "drplatform backups list"])
    refused(home, "backups", "verify", "--repository", vault, words=["--all"])


def test_no_platform_is_up(home):
    refused(home, "backups", "list", words=["drplatform platform up"])
    refused(home, "backups", "take", "mongodb", words=["drplatform platform up"])
    refused(home, "platform", "down", words=["drplatform platform up"])
    refused(home, "platform", "down", "12345678", words=["12345678"])


# -- the audit log ------------------------------------------------------------------------------------------------------------


def tampered(home):
    for name in "abc":
        home("keys", "generate", "--file", home.directory / name)
    log = home.state / "audit.jsonl"
    first, *rest = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(first.replace(b"age1", b"age2") + b"".join(rest))
    return log


def test_nothing_is_done_that_could_not_be_recorded(home):
    log = tampered(home)
    refused(home, "keys", "generate", "--file", home.directory / "d", words=["Record 1", log])
    refused(home, "drill", "run", FEATURE, words=["Record 1", log])
    refused(home, "backups", "take", "mongodb", words=["Record 1", log])
    refused(home, "backups", "restore", "mongodb", "--yes", words=["Record 1", log])


def test_tampered_evidence_is_named(home):
    assert home("evidence", "verify").code == 0
    tampered(home)
    told = home("evidence", "verify")
    assert told.code == 1, "it was checked, and failed"
    assert told.err.startswith("drplatform: Record 1 of the audit log") and "Traceback" not in told.err


def test_faults_can_be_healed_whatever_the_audit_log_holds(home):
    tampered(home)
    assert home("heal").code == 0


# -- what nobody foresaw ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [OSError(28, "No space left on device", "/x"), RuntimeError("planted")])
def test_the_unforeseen_never_looks_like_a_failed_recovery(home, monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(drills.Environment, "open", fail)
    told = home("heal")
    assert told.code == 2
    assert told.err.splitlines()[-1].startswith("drplatform: ")
    assert ("Traceback" in told.err) == isinstance(error, RuntimeError), "a defect is shown with its place"


def test_the_installed_command_says_the_same(home):
    environment = {**os.environ, "DRPLATFORM_MONGOD": "/nowhere/server"}
    program = Path(sys.executable).with_name("drplatform")
    done = subprocess.run([program, "drill", "run", FEATURE], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr and "DRPLATFORM_MONGOD" in done.stderr
    assert not home.tree()


def test_a_traceback_would_be_noticed(capfd):
    print("Traceback (most recent call last):\ndrplatform: x.", file=sys.stderr)
    with pytest.raises(AssertionError):
        check_refused(SimpleNamespace(code=2, err=capfd.readouterr().err))
    assert cli.run(["--version"]) == 0
