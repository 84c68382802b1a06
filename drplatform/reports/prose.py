"""Documents of headings, paragraphs, lists and tables, as Markdown and as one HTML page. `code` stands in backticks in both."""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from drplatform.reports import documents


@dataclass(frozen=True)
class Heading:
    text: str


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Items:
    texts: Sequence[str]
    numbered: bool = False


@dataclass(frozen=True)
class Code:
    """Lines for a terminal."""

    text: str


@dataclass(frozen=True)
class Table:
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


Block = Heading | Text | Items | Code | Table


@dataclass(frozen=True)
class Document:
    """`kind` is a word above the title; `about` a line below it."""

    title: str
    kind: str
    about: str
    blocks: Sequence[Block]


def write(document: Document, directory: Path, name: str) -> dict[str, Path]:
    """Write `<name>.md` and `<name>.html`; the files by format."""
    return {
        "markdown": documents.write_whole(directory / f"{name}.md", markdown(document)),
        "html": documents.write_whole(directory / f"{name}.html", page(document)),
    }


def markdown(document: Document) -> str:
    parts = [f"# {document.title}", document.about, *(_markdown(block) for block in document.blocks)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(text):
            return f"## {text}"
        case Text(text):
            return text
        case Code(text):
            return f"```\n{text}\n```"
        case Items(texts, numbered):
            return "\n".join(f"{f'{n}.' if numbered else '-'} {text}" for n, text in enumerate(texts, 1))
        case Table(heads, rows):
            return "\n".join(_row(cells) for cells in (heads, ["---"] * len(heads), *rows))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", "<br>") for cell in cells) + " |"


def page(document: Document) -> str:
    """The page's text. It needs nothing from elsewhere."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("drplatform.reports"),
        autoescape=jinja2.select_autoescape(("html",)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = templates.get_template("drill.css").render()
    return templates.get_template("prose.html").render(
        document=document,
        kinds=[type(block).__name__ for block in document.blocks],
        coded=_coded,
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    )


def _coded(text: str) -> Markup:
    """The text with what is in backticks as code, everything escaped."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))).replace("\n", "<br>"))
