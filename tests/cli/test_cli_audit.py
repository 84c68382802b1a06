"""The audit log at the command line: checked, exported; and no operation runs that it cannot record."""

import json
import re

import backup_keys_cases as cases
import pytest


@pytest.fixture
def log(home):
    assert home("keys", "generate").code == 0
    assert home("keys", "generate", "--file", home.directory / "two.txt").code == 0
    return home.state / "audit.jsonl"


def test_it_is_verified_and_a_changed_record_is_found(home, log):
    told = json.loads(home("audit", "verify", "--json").out)
    assert told["whole"] and told["records"] == 2
    assert home("audit", "verify", "--expect", told["last"]).code == 0
    whole = log.read_bytes()
    log.write_bytes(whole.splitlines(keepends=True)[0])
    cut = home("audit", "verify", "--expect", told["last"])
    assert cut.code == 1 and "was cut" in cut.err
    log.write_bytes(whole.replace(b"age1", b"age2", 1))
    assert home("audit", "verify").code == 1
    assert home("audit", "export").code == 1 and "age2" not in home("audit", "export").out


def test_it_is_exported_as_json_and_for_syslog(home, log):
    lines = home("audit", "export").out.encode().splitlines(keepends=True)
    assert lines == log.read_bytes().splitlines(keepends=True)
    for line, record in zip(home("audit", "export", "--format", "syslog").out.splitlines(), lines, strict=True):
        found = re.fullmatch(r"<109>1 (\S+) \S+ drplatform - key-generated - \ufeff(\{.*\})", line)
        assert found and json.loads(found[2]) == json.loads(record)
        assert found[1][:19] == json.loads(record)["when"][:19]


def unwritable(home):
    """Nobody can append to a directory, whoever they are."""
    home.state.mkdir(exist_ok=True)
    (home.state / "audit.jsonl").mkdir()


@pytest.mark.parametrize("operation", ["rotate", "escrow", "recover", "shred", "prune", "generate", "hold"])
def test_what_cannot_be_recorded_does_not_run(home, clock, operation):
    vault = cases.filled(home.directory / "vault", clock)
    vault.repository.put("memory/full/killed/chunks/000001", b"rubbish")
    identity, new = vault.write_identity("identity.txt"), home.directory / "new.txt"
    assert home("keys", "escrow", "--identity", identity, "--to", home.directory / "before").code == 0
    where = ("--repository", vault.place, "--identity", identity)
    shares = sorted((home.directory / "before").iterdir())[:3]
    commands = {
        "rotate": ("keys", "rotate", "--to", vault.public, *where),
        "escrow": ("keys", "escrow", "--identity", identity, "--to", home.directory / "shares"),
        "recover": ("keys", "recover", *shares, "--file", new),
        "shred": ("keys", "shred", identity, "--confirm", vault.public),
        "prune": ("backups", "prune", "--yes", *where),
        "generate": ("keys", "generate", "--file", new),
        "hold": ("backups", "hold", vault.manifest.id, "--why", "asked by a court", *where),
    }
    (home.state / "audit.jsonl").unlink()
    unwritable(home)
    before = home.tree()
    told = home(*commands[operation])
    assert told.code == 2 and "audit.jsonl" in told.err, told
    assert home.tree() == before
