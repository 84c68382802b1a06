"""Logging in with SCRAM-SHA-256 (RFC 5802, RFC 7677). Knows nothing of sockets: it is given a way to call commands."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from drplatform.model import errors
from drplatform.model.ports import Credentials

Call = Callable[[str, Mapping[str, Any]], dict[str, Any]]
DATABASE = "admin"
"""Whose users are known."""
_LEAST_ITERATIONS = 4096


def log_in(call: Call, credentials: Credentials) -> None:
    """Prove to the server that we know the password, and have it prove the same. Raises StoreError when either fails."""
    name = credentials.user.replace("=", "=3D").replace(",", "=2C")
    nonce = base64.b64encode(secrets.token_bytes(24)).decode()
    first = f"n={name},r={nonce}"
    answer = call(DATABASE, {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": b"n,," + first.encode()})
    server_first = bytes(answer["payload"]).decode()
    told = _fields(server_first)
    if not told["r"].startswith(nonce) or int(told["i"]) < _LEAST_ITERATIONS:
        raise errors.StoreError("The MongoDB server's login challenge is not acceptable; check that this is the right server.")
    final, expected = _proof(credentials.password.reveal(), first, server_first, told)
    answer = call(DATABASE, {"saslContinue": 1, "conversationId": answer["conversationId"], "payload": final.encode()})
    if not hmac.compare_digest(_fields(bytes(answer["payload"]).decode()).get("v", ""), expected):
        raise errors.StoreError("The MongoDB server could not prove that it knows the user; check that this is the right server.")
    while not answer["done"]:
        answer = call(DATABASE, {"saslContinue": 1, "conversationId": answer["conversationId"], "payload": b""})


def _fields(message: str) -> dict[str, str]:
    return {part[:1]: part[2:] for part in message.split(",")}


def _proof(password: str, first: str, server_first: str, told: Mapping[str, str]) -> tuple[str, str]:
    """The client's final message, and the signature that the server must answer with."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(told["s"]), int(told["i"]))
    client_key, server_key = _hmac(salted, b"Client Key"), _hmac(salted, b"Server Key")
    without_proof = f"c=biws,r={told['r']}"
    message = f"{first},{server_first},{without_proof}".encode()
    signature = _hmac(hashlib.sha256(client_key).digest(), message)
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    final = f"{without_proof},p={base64.b64encode(proof).decode()}"
    return final, base64.b64encode(_hmac(server_key, message)).decode()


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")
