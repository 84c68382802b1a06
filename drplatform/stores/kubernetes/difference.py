"""What differs between two sets of objects: two backups, or a backup and a cluster. Pure.

Values show only where they cannot be secret: numbers, truth values, and text of well-known harmless fields. Of everything else (secrets, the
values of config maps and of environment variables, annotations, arguments, unknown fields) a difference says that it is there, not what.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from drplatform.model.inspection import Change
from drplatform.stores.kubernetes.resource import Key, Resource

SHOWN = frozenset(
    {
        "apiVersion", "kind", "name", "namespace", "image", "imagePullPolicy", "type", "path", "pathType", "host", "port", "targetPort",
        "protocol", "schedule", "timeZone", "concurrencyPolicy", "restartPolicy", "storageClassName", "storage", "cpu", "memory",
        "serviceAccountName", "serviceAccount", "clusterIP", "ingressClassName", "priorityClassName", "scope", "group", "plural", "version", "strategy",
        "provisioner", "reclaimPolicy", "volumeBindingMode", "minAvailable", "maxUnavailable", "maxSurge", "policyTypes", "verbs", "resources",
        "apiGroups", "roleRef", "operator", "effect", "mountPath", "dnsPolicy", "updateStrategy", "failurePolicy", "replicas", "accessModes",
    }
)  # fmt: skip
"""Fields whose text is shown. Inside `data`, `env`, `annotations` and `args` nothing is."""
HIDDEN = frozenset({"data", "stringData", "binaryData", "annotations", "env", "args", "command"})
HIDDEN_TEXT = "(not shown)"
_NAMES = (("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace"))
_ABSENT = object()


def compare(before: Iterable[Resource], after: Iterable[Resource]) -> list[Change]:
    """Every difference, in order of the objects' names."""
    old, new = _by_key(before), _by_key(after)
    found = []
    for key in sorted(old.keys() | new.keys()):
        if key not in new:
            found.append(Change(str(key), "", "there", "gone"))
        elif key not in old:
            found.append(Change(str(key), "", "not there", "new"))
        else:
            found += _changes(key, old[key].document, new[key].document)
    return found


def _by_key(resources: Iterable[Resource]) -> dict[Key, Resource]:
    return {r.key: r for r in resources}


def _changes(key: Key, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    secret = key.kind == "Secret" and not key.group
    for path, old, new in _walk((), _comparable(before), _comparable(after)):
        yield Change(str(key), _path(path), _shown(path, old, secret), _shown(path, new, secret))


def _comparable(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without the version of the API that it was read through: the same object may be read through another."""
    return {name: value for name, value in document.items() if name != "apiVersion"}


def _walk(path: tuple[str, ...], old: Any, new: Any) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """The leaves that differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted(old.keys() | new.keys()):
            yield from _walk((*path, str(name)), old.get(name, _ABSENT), new.get(name, _ABSENT))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _walk(path, _numbered(old), _numbered(new))
    elif old != new or isinstance(old, bool) is not isinstance(new, bool):
        yield path, old, new


def _numbered(items: list[Any]) -> dict[str, Any]:
    """By name where the items have distinct ones, so that an item put in front does not change all the others; else by number."""
    names = [item.get("name") if isinstance(item, Mapping) else None for item in items]
    if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
        return {f"[{name}]": item for name, item in zip(names, items, strict=True)}
    return {f"[{number:04d}]": item for number, item in enumerate(items)}


def _path(path: tuple[str, ...]) -> str:
    text = ""
    for step in path:
        text += step if step.startswith("[") else f".{step}"
    return text.lstrip(".")


def _shown(path: tuple[str, ...], value: Any, secret: bool) -> str:
    if value is _ABSENT:
        return "absent"
    if secret or not HIDDEN.isdisjoint(path):
        return HIDDEN_TEXT
    if value is None or isinstance(value, (bool, int, float)):
        return json.dumps(value)
    field = next((step for step in reversed(path) if not step.startswith("[")), "")
    if isinstance(value, str) and (field in SHOWN or "labels" in path):
        return json.dumps(value, ensure_ascii=False)
    return HIDDEN_TEXT


def hidden_texts(document: Mapping[str, Any]) -> set[str]:
    """Every text of an object that must not be told, also as it was before Base64; for cleaning what a server says of the object."""
    secret = document.get("kind") == "Secret"
    leaves = ((path, value) for path, value in _leaves((), document) if isinstance(value, str) and path not in _NAMES)
    found = {value for path, value in leaves if _shown(path, value, secret) == HIDDEN_TEXT}
    return {text for text in found | {_decoded(text) for text in found} if len(text) >= 4}


def _leaves(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves((*path, str(name)), inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves((*path, "[]"), inner)
    else:
        yield path, value


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        return ""


def redacted(message: str, document: Mapping[str, Any]) -> str:
    """What a server said of an object, without the object's own hidden texts."""
    for text in sorted(hidden_texts(document), key=len, reverse=True):
        for form in (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
            message = message.replace(form, "***")
    return message
