"""Evidence at the command line: kept in the vault by drills and by a command, fetched from there, and checked offline."""

import example
import pytest

from drplatform.environment import Environment, Settings

CONFIG = "stores: {mongodb: {addresses: ['127.0.0.1:1']}}\nrepository: {directory: vault}\n"


@pytest.fixture
def kept(home, monkeypatch):
    """A drill's evidence and two operations, in a home whose configuration names a vault."""
    (home.directory / "vault").mkdir()
    monkeypatch.setenv("DRPLATFORM_CONFIG", str(home.write("drplatform.yaml", CONFIG)))
    assert home("keys", "generate").code == 0
    concluded = Environment.open(Settings.read()).conclude(example.passed())
    assert "The vault keeps the audit log" in concluded.kept
    return concluded


def test_a_drill_leaves_its_evidence_in_the_vault_and_it_is_fetched_and_checked_without_the_machine_that_ran_it(home, kept):
    told = home("audit", "verify")
    assert "holds the first 3 of them, all the same" in told.out
    home("keys", "generate", "--file", "two.txt")
    assert "4 records of the audit log" in (out := home("evidence", "keep").out) and "1 of them new" in out
    assert "0 of them new" in home("evidence", "keep").out
    assert home("evidence", "fetch", "taken").code == 0
    assert (home.directory / "taken/audit.jsonl").read_bytes() == (home.state / "audit.jsonl").read_bytes()
    (signed,) = (home.directory / "taken").glob("*.dsse.json")
    assert signed.read_bytes() == kept.reports["signed"].read_bytes()
    public = home.state / "keys/signing.pub"
    checked = home("evidence", "verify", "--log", "taken/audit.jsonl", "--public-key", public, signed)
    assert checked.code == 0 and "PASSED" in checked.out


def test_a_log_that_is_rewritten_as_a_whole_chain_is_found_beside_the_vaults_copy(home, kept):
    log = home.state / "audit.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:2]))
    home("keys", "generate", "--file", "two.txt")
    assert home("audit", "verify", "--config", home.directory / "drplatform.yaml").code == 1
    told = home("evidence", "keep")
    assert told.code == 1 and "not the one that the vault holds" in told.err


def test_what_cannot_be_kept_is_told_and_changes_no_verdict(home, monkeypatch):
    bad = CONFIG.replace("{directory: vault}", "{s3: {addresses: ['127.0.0.1:1'], user: u, password: {env: P}, options: {bucket: b}}}")
    monkeypatch.setenv("DRPLATFORM_CONFIG", str(home.write("drplatform.yaml", bad)))
    monkeypatch.setenv("P", "secret")
    concluded = Environment.open(Settings.read()).conclude(example.passed())
    assert "secret" not in concluded.kept
    assert concluded.kept.startswith("NOT KEPT IN THE VAULT:") and concluded.kept.endswith("drplatform evidence keep")
    assert concluded.record["verdict"] == "PASSED" and concluded.reports["html"].is_file()


def test_a_vault_without_logs_or_with_several_says_what_to_do(home, kept):
    assert home("evidence", "fetch", "taken", "--log", "other").code == 2
    (home.directory / "empty").mkdir()
    nothing = home(
        "evidence", "fetch", "taken", "--repository", "empty", "--config", home.write("none.yaml", CONFIG.replace("vault", "empty"))
    )
    assert nothing.code == 2 and "no audit log" in nothing.err
    assert not (home.directory / "taken").exists()
