"""Signed evidence: what stock tools verify, and that no byte of it can change unseen."""

import base64
import json
import random
import shutil
import subprocess

import pytest

from drplatform.engine import attest
from drplatform.model import errors, evidence
from drplatform.model.secret import Secret

RECORD = evidence.link({"id": "drill-1", "verdict": "PASSED", "scenario": {"name": "Löschen"}}, evidence.GENESIS)


@pytest.fixture(scope="module")
def pair():
    return attest.generate()


@pytest.fixture
def envelope(pair):
    return attest.sign(RECORD, pair[1])


def test_what_was_signed_is_read_again(pair, envelope):
    assert attest.read(envelope, [pair[0]]) == RECORD
    assert attest.public_of(pair[1]) == pair[0]


def test_it_is_an_in_toto_statement_in_a_dsse_envelope(envelope):
    document = json.loads(envelope)
    assert document["payloadType"] == "application/vnd.in-toto+json"
    statement = json.loads(base64.b64decode(document["payload"]))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [{"name": "drill-1", "digest": {"sha256": RECORD["hash"]}}]
    assert statement["predicate"] == RECORD


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")
def test_openssl_verifies_it(pair, envelope, tmp_path):
    document = json.loads(envelope)
    payload = base64.b64decode(document["payload"])
    kind = document["payloadType"].encode()
    (tmp_path / "key.pem").write_bytes(pair[0])
    (tmp_path / "signature").write_bytes(base64.b64decode(document["signatures"][0]["sig"]))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin", "-in", "signed", "-sigfile", "signature"]
    for content, code in ((payload, 0), (payload.replace(b"PASSED", b"FAILED"), 1)):
        (tmp_path / "signed").write_bytes(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(content), content))
        assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == code


def test_any_flipped_bit_is_found(pair, envelope):
    """Also one that no signature covers: in the key's name, in white space, in the unused bits of base64."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    generator = random.Random(seed)
    for place in range(len(envelope)):
        changed = bytearray(envelope)
        changed[place] ^= 1 << generator.randrange(8)
        with pytest.raises(errors.IntegrityError):
            attest.read(bytes(changed), [pair[0]])


def test_an_envelope_that_somebody_else_signed_too_is_read(pair, envelope):
    document = json.loads(envelope)
    other = json.loads(attest.sign(RECORD, attest.generate()[1]))
    document["signatures"] = [*other["signatures"], *document["signatures"]]
    assert attest.read(json.dumps(document, indent=1).encode() + b"\n", [pair[0]]) == RECORD


def test_another_key_is_not_trusted(pair, envelope):
    other = attest.generate()[0]
    with pytest.raises(errors.IntegrityError, match="None of the trusted keys"):
        attest.read(envelope, [other])
    assert attest.read(envelope, [other, pair[0]]) == RECORD
    with pytest.raises(errors.IntegrityError):
        attest.read(envelope, [])


def test_a_signed_record_that_contradicts_itself_is_refused(pair):
    """Signed by a trusted key, and still not what the audit log held."""
    with pytest.raises(errors.IntegrityError, match="contradicts itself"):
        attest.read(attest.sign({**RECORD, "verdict": "FAILED"}, pair[1]), [pair[0]])


def test_keys_that_are_none_are_named(pair, envelope):
    with pytest.raises(errors.SettingsError, match="no private key"):
        attest.sign(RECORD, Secret("CANARY"))
    with pytest.raises(errors.SettingsError, match="no public key"):
        attest.read(envelope, [b"nonsense"])
