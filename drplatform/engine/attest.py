"""Signed evidence: a record of the audit log as an in-toto statement in a DSSE envelope, which stock tools verify.

The envelope is signed with Ed25519. Forms: DSSE protocol 1.0 (secure-systems-lab/dsse, protocol.md and envelope.md), in-toto Statement
v1 (in-toto/attestation, spec/v1/statement.md). Reads and writes no files.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from drplatform.model import errors, evidence
from drplatform.model.secret import Secret

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://drplatform.io/evidence/v1"


def generate() -> tuple[bytes, Secret]:
    """A new key pair: the public key in PEM, and the private one in PEM (PKCS#8)."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return public_pem(key.public_key()), Secret(private.decode())


def public_of(key: Secret) -> bytes:
    """The public key in PEM that belongs to a private one. Raises SettingsError."""
    return public_pem(_private(key).public_key())


def sign(record: Mapping[str, Any], key: Secret) -> bytes:
    """The record of the audit log, signed: a DSSE envelope as JSON. Raises SettingsError for a key that is none."""
    private = _private(key)
    payload = evidence.canonical(statement(record))
    signature = private.sign(pre_authentication(PAYLOAD_TYPE, payload))
    return _enveloped(PAYLOAD_TYPE, payload, [(key_id(private.public_key()), signature)])


def read(envelope: bytes, trusted: Iterable[bytes]) -> dict[str, Any]:
    """The record in the envelope, when one of the `trusted` public keys (PEM) has signed it. Raises IntegrityError, naming what is wrong."""
    payload_type, payload, signatures = _opened(envelope)
    signed = pre_authentication(payload_type, payload)
    keys = {key_id(key): key for key in map(_public, trusted)}
    if not any(_signed_by(key, signed, signature) for key in keys.values() for _, signature in signatures):
        raise errors.IntegrityError("None of the trusted keys has signed this evidence as it is: it was changed, or it is somebody else's.")
    if not any(name in keys and _signed_by(keys[name], signed, signature) for name, signature in signatures) or envelope != _enveloped(
        payload_type, payload, signatures
    ):
        raise errors.IntegrityError("What was signed is whole, but the envelope around it was changed; use the file as the drill left it.")
    return _record(payload_type, payload)


def statement(record: Mapping[str, Any]) -> dict[str, Any]:
    """The in-toto statement of a record: its subject is the record by its hash in the audit log, its predicate the record itself."""
    subject = [{"name": str(record["id"]), "digest": {"sha256": str(record["hash"])}}]
    return {"_type": STATEMENT_TYPE, "subject": subject, "predicateType": PREDICATE_TYPE, "predicate": dict(record)}


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """What is signed: DSSE's pre-authentication encoding of type and payload."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def key_id(key: Ed25519PublicKey) -> str:
    """SHA-256 of the key's DER form, in hexadecimal."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def public_pem(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _enveloped(payload_type: str, payload: bytes, signatures: Sequence[tuple[str, bytes]]) -> bytes:
    """The one form of an envelope: a flip of a bit that no signature covers (the key's name, white space, base64's unused bits) shows, too."""
    document = {
        "payloadType": payload_type,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": name, "sig": base64.b64encode(signature).decode()} for name, signature in signatures],
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def _opened(envelope: bytes) -> tuple[str, bytes, list[tuple[str, bytes]]]:
    try:
        document = json.loads(envelope)
        payload = base64.b64decode(document["payload"], validate=True)
        signatures = [(str(s["keyid"]), base64.b64decode(s["sig"], validate=True)) for s in document["signatures"]]
        return str(document["payloadType"]), payload, signatures
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise errors.IntegrityError(
            f"This is no signed evidence ({type(error).__name__}: {error}); use the file as the drill left it."
        ) from error


def _signed_by(key: Ed25519PublicKey, signed: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _record(payload_type: str, payload: bytes) -> dict[str, Any]:
    """What is in a payload whose signature is good. Its parts must still fit together."""
    try:
        found = json.loads(payload)
        record = found["predicate"]
        fits = payload_type == PAYLOAD_TYPE and found == statement(record)
    except (ValueError, KeyError, TypeError) as error:
        raise errors.IntegrityError(f"The signed document is no evidence ({type(error).__name__}: {error}).") from error
    body = {name: value for name, value in record.items() if name != "hash"}
    if not fits or evidence.digest(body) != record["hash"]:
        raise errors.IntegrityError("The signed document contradicts itself: its hash, its subject or its type does not fit its content.")
    return dict(record)


def _private(key: Secret) -> Ed25519PrivateKey:
    try:
        found = serialization.load_pem_private_key(key.reveal().encode(), None)
    except (ValueError, TypeError) as error:
        raise errors.SettingsError("The signing key is no private key in PEM; make one with: drplatform keys generate") from error
    if not isinstance(found, Ed25519PrivateKey):
        raise errors.SettingsError("The signing key is not of the kind Ed25519; make one with: drplatform keys generate")
    return found


def _public(pem: bytes) -> Ed25519PublicKey:
    try:
        found = serialization.load_pem_public_key(pem)
    except ValueError as error:
        raise errors.SettingsError("This is no public key in PEM; give the file signing.pub of the machine that ran the drill.") from error
    if not isinstance(found, Ed25519PublicKey):
        raise errors.SettingsError(
            "The public key is not of the kind Ed25519; give the file signing.pub of the machine that ran the drill."
        )
    return found
