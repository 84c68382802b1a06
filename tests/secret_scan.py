"""Finds secrets in bytes: as they are, in hexadecimal, in Base64 at any place of a longer text, quoted for a URL."""

import base64
import urllib.parse
from collections.abc import Iterable, Mapping
from pathlib import Path

UNTOUCHED = ((0, 0), (1, 2), (2, 3))
"""In Base64, text after so many foreign bytes begins, unmixed with them, at this character."""


def forms(secret: str) -> set[bytes]:
    """What a secret may look like."""
    raw = secret.encode()
    plain = {secret, urllib.parse.quote(secret, safe=""), raw.hex(), raw.hex().upper(), ":".join(f"{byte:02x}" for byte in raw)}
    return {form.encode() for form in plain} | _base64(raw)


def _base64(raw: bytes) -> set[bytes]:
    found = set()
    for before, begin in UNTOUCHED:
        text = base64.b64encode(bytes(before) + raw)
        end = (before + len(raw)) // 3 * 4
        found |= {text[begin:end], text[begin:end].translate(bytes.maketrans(b"+/", b"-_"))}
    return found


def found_in(content: bytes, secrets: Mapping[str, str]) -> set[str]:
    """The names of the secrets that are in the content, in any form."""
    return {name for name, secret in secrets.items() if any(form in content for form in forms(secret))}


def found_below(directory: Path, secrets: Mapping[str, str], ignoring: Iterable[Path] = ()) -> dict[str, set[str]]:
    """By file, the secrets found in it or in its name."""
    passed = set(ignoring)
    files = [p for p in directory.rglob("*") if p.is_file() and p not in passed and not passed & set(p.parents)]
    seen = {str(p): found_in(p.read_bytes() + b"\n" + str(p).encode(), secrets) for p in files}
    return {name: names for name, names in seen.items() if names}


def command_lines() -> bytes:
    """The arguments of all processes."""
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            lines.append((process / "cmdline").read_bytes())
        except OSError:
            continue
    return b"\n".join(lines)
