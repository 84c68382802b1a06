"""Finds secrets in bytes: as they are, in hexadecimal, in Base64 at any place of a longer text, quoted for a URL, and in what is packed in there."""

import base64
import re
import urllib.parse
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

PIECE = re.compile(rb"[A-Za-z0-9+/_-]{24,}={0,2}")
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
    """The names of the secrets that are in the content, in any form, or in anything that was packed or encoded into it."""
    wanted = {name: forms(secret) for name, secret in secrets.items()}
    return {name for layer in layers(content) for name, found in wanted.items() if any(form in layer for form in found)}


def layers(content: bytes, depth: int = 3) -> Iterator[bytes]:
    """The content, and what comes out of every gzip stream and every longer piece of Base64 in it."""
    yield content
    if not depth:
        return
    for start in re.finditer(b"\x1f\x8b\x08", content):
        yield from layers(_unzipped(content[start.start() :]), depth - 1)
    for piece in PIECE.finditer(content):
        if found := _decoded(piece[0]):
            yield from layers(found, depth - 1)


def _unzipped(data: bytes) -> bytes:
    """As much as can be read."""
    try:
        return zlib.decompressobj(wbits=31).decompress(data)
    except zlib.error:
        return b""


def _decoded(piece: bytes) -> bytes:
    plain = piece.translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        return base64.b64decode(plain[: len(plain) // 4 * 4 + (len(plain) % 4 if len(plain) % 4 > 1 else 0)] + b"==")
    except ValueError:
        return b""


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
