"""The JSON Schema of `drplatform.yaml`, for editors. Made from the same tables by which the file is read."""

from typing import Any

from drplatform.model.config import ALERT_WAYS, CLUSTER_SECRET, OPTIONS, REPLICAS

_SOURCES: dict[str, dict[str, Any]] = {
    "env": {"type": "string", "minLength": 1},
    "file": {"type": "string", "minLength": 1},
    "kubernetes": {"description": "NAMESPACE/NAME/KEY", "type": "string", "pattern": f"^{CLUSTER_SECRET}$"},
}
_SECRET = {
    "description": "Where the secret is; never the secret itself.",
    "oneOf": [
        {"type": "object", "additionalProperties": False, "required": [source], "properties": {source: form}}
        for source, form in _SOURCES.items()
    ],
}
_TEXT = {"type": ["string", "boolean", "number"]}
_UNADDRESSED = ("configuration", "kubernetes")


def schema() -> dict[str, Any]:
    """Draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "drplatform configuration",
        "description": "Which stores there are, where backups go, to whom they are encrypted, where alerts go. Holds no secret.",
        "type": "object",
        "additionalProperties": False,
        "required": ["stores", "repository"],
        "properties": {
            "stores": {
                "type": "object",
                "additionalProperties": False,
                "properties": {kind: _place(kind) for kind in OPTIONS if kind != "s3"},
            },
            "repository": {
                "description": "A directory, or a bucket.",
                "oneOf": [_only("directory", {"type": "string", "minLength": 1}), _only("s3", _place("s3"))],
            },
            "replicas": {
                "description": "What the stores are replicated into that do not replicate by themselves.",
                "type": "object",
                "additionalProperties": False,
                "properties": {kind: _place(kind) for kind in sorted(REPLICAS)},
            },
            "recipients": {"description": "age recipients that can open the backups.", "type": "array", "items": {"type": "string"}},
            "secret_recipients": {
                "description": "age recipients that alone can read the secrets of configuration; without them, all of recipients can.",
                "type": "array",
                "items": {"type": "string"},
            },
            "identity": {"description": "Path of the age identity that opens backups.", "type": "string", "minLength": 1},
            "policy": {"description": "Path of the policy.", "type": "string", "minLength": 1},
            "alerts": {
                "description": "Where notices of alerts go.",
                "type": "array",
                "items": {"oneOf": [_way(kind) for kind in ALERT_WAYS]},
            },
            "capacity": {"description": "Room of the repository: bytes, or e.g. 500 GiB.", "type": ["integer", "string"]},
        },
    }


def _place(kind: str) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "options": {"type": "object", "additionalProperties": False, "properties": dict.fromkeys(sorted(OPTIONS[kind]), _TEXT)},
        "user": {"type": "string", "minLength": 1},
        "password": _SECRET,
    }
    required = []
    if kind not in _UNADDRESSED:
        properties["addresses"] = {"type": "array", "items": {"type": "string", "pattern": r"^.+:\d+$"}}
        required = ["addresses"]
    together = {"user": ["password"], "password": ["user"]}
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties, "dependentRequired": together}


def _only(name: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": [name], "properties": {name: body}}


def _way(kind: str) -> dict[str, Any]:
    options, secrets = ALERT_WAYS[kind]
    properties: dict[str, Any] = {"kind": {"const": kind}, **dict.fromkeys(sorted(options), _TEXT)}
    properties |= dict.fromkeys(sorted(secrets), _SECRET)
    return {"type": "object", "additionalProperties": False, "required": ["kind"], "properties": properties}
