"""Strict reading of plain documents (as YAML gives them): every problem is collected, each with its path in the document."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class Reader:
    """Reads values out of a document and collects what is wrong with it."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def mapping(self, value: object, path: str, allowed: set[str] | None = None) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            self.problems.append(f"{path}: expected a mapping" if value is not None else f"{path}: missing")
            return {}
        for key in value:
            if not isinstance(key, str) or (allowed is not None and key not in allowed):
                known = f", known are {', '.join(sorted(allowed))}" if allowed else ""
                self.problems.append(f"{path}: unknown key {key!r}{known}")
        return {str(key): item for key, item in value.items()}

    def sequence(self, value: object, path: str) -> list[Any]:
        if not isinstance(value, list):
            self.problems.append(f"{path}: expected a list" if value is not None else f"{path}: missing")
            return []
        return value

    def text(self, body: Mapping[str, Any], key: str, path: str) -> str:
        value = body.get(key)
        if not isinstance(value, str) or not value.strip():
            self.problems.append(f"{path}.{key}: expected a text" if value is not None else f"{path}.{key}: missing")
            return ""
        return value

    def choice(self, body: Mapping[str, Any], key: str, path: str, known: tuple[str, ...]) -> str:
        value = self.text(body, key, path)
        if value and value not in known:
            self.problems.append(f"{path}.{key}: {value!r} is not one of {', '.join(known)}")
        return value

    def value(self, body: Mapping[str, Any], key: str, path: str, parse_one: Callable[[object], T], default: T) -> T:
        if key not in body:
            self.problems.append(f"{path}.{key}: missing")
            return default
        try:
            return parse_one(body[key])
        except ValueError as error:
            self.problems.append(f"{path}.{key}: {error}")
            return default
