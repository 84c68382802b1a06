"""The PDF of an upload, and whether some bytes are a whole one."""

import re
import zlib
from collections.abc import Mapping
from typing import Any

from fpdf import FPDF

KIND = "application/pdf"
_LINES = 40
_STREAM = re.compile(rb"/FlateDecode.*?stream\r?\n(.*?)\r?\nendstream", re.DOTALL)


def render(document: Mapping[str, Any], content: bytes) -> bytes:
    """One page that says what was uploaded, with its SHA-256, and shows the beginning of a text."""
    page = FPDF()
    page.set_title(_latin(str(document["name"]) or "upload"))
    page.add_page()
    page.set_font("Helvetica", "B", 16)
    page.cell(text=_latin(str(document["name"]) or "upload"), new_x="LMARGIN", new_y="NEXT")
    page.set_font("Courier", size=9)
    page.multi_cell(0, text=f"{document['bytes']} bytes\nSHA-256 {document['sha256']}\n", new_x="LMARGIN", new_y="NEXT")
    for line in content[:8000].decode("utf-8", "replace").splitlines()[:_LINES]:
        page.cell(text=_latin(line[:90]) or " ", new_x="LMARGIN", new_y="NEXT")
    return bytes(page.output())


def defects(content: bytes) -> list[str]:
    """Why this is no whole PDF, in words (ISO 32000-1, 7.5): its header, its end, its cross-reference table, its compressed streams."""
    if not content.startswith(b"%PDF-1."):
        return ["it does not begin as a PDF"]
    ending = re.search(rb"startxref\s+(\d+)\s+%%EOF\s*\Z", content)
    if not ending:
        return ["its end is missing"]
    found = [] if content[int(ending[1]) :].startswith(b"xref") else ["its cross-reference table is not where it should be"]
    streams = _STREAM.findall(content)
    if not streams:
        found.append("it has no content")
    return found + [f"a stream of it is damaged ({problem})" for stream in streams if (problem := _damage(stream))]


def _damage(stream: bytes) -> str:
    try:
        zlib.decompress(stream)
    except zlib.error as error:
        return str(error)
    return ""


def _latin(text: str) -> str:
    """The fonts that every PDF reader has know Latin-1 only."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text.encode("latin-1", "replace").decode("latin-1"))
