"""The compliance report as PDF: A4, nothing to install but a Python package, the same content as the page.

Its fonts are the standard ones of PDF, which have the letters of Western Europe; others show as `?`.
"""

import importlib.metadata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fpdf import FPDF, FontFace
from fpdf.enums import TableBordersLayout

from drplatform.model import controls
from drplatform.model.compliance import Assessment, Finding, Status
from drplatform.model.history import Point
from drplatform.reports import documents, trends, wording


@dataclass(frozen=True)
class _Badge:
    """A status in other words than its own."""

    status: Status
    text: str


Row = Sequence[str | Status | _Badge]

COLOURS = {
    Status.PROVEN: ((18, 101, 47), (221, 244, 228)),
    Status.STALE: ((119, 70, 0), (253, 241, 211)),
    Status.NEVER_TESTED: ((65, 74, 85), (236, 239, 243)),
    Status.FAILED: ((159, 16, 35), (253, 230, 232)),
}
"""Ink and background by status."""

INK, SOFT, LINE = (26, 31, 38), (85, 96, 110), (213, 218, 225)
SHOWN = 6
"""How many clauses a control names that are not proven; the section of each clause tells them all."""

WIDTH = 180.0
"""Millimetres between the margins."""


class _Pages(FPDF):
    """A4 with a line at the foot of each page."""

    def __init__(self, at: datetime) -> None:
        super().__init__(format="A4")
        self.at = at
        self.set_margins(15, 15, 15)
        self.set_auto_page_break(True, 18)
        self.alias_nb_pages()
        self.core_fonts_encoding = "cp1252"  # the only one with dashes and quotation marks

    def footer(self) -> None:
        self.set_y(-13)
        self.set_font("helvetica", size=8)
        self.set_text_color(*SOFT)
        self.cell(0, 5, plain(f"Recovery strategy, as of {self.at:%Y-%m-%d %H:%M} UTC. Page {self.page_no()} of {{nb}}"), align="C")


def write(assessment: Assessment, directory: Path, past: Sequence[Point] = (), projections: Sequence[Sequence[str]] = ()) -> Path:
    """Write `compliance.pdf`."""
    return documents.write_whole(directory / "compliance.pdf", content(assessment, past, projections))


def content(assessment: Assessment, past: Sequence[Point] = (), projections: Sequence[Sequence[str]] = ()) -> bytes:
    """The file's bytes. `past` are all measurements, for the trends; `projections` are rows of store, what was measured, size, estimate."""
    pages = _Pages(assessment.at)
    pages.set_title("Backup and disaster recovery strategy, clause by clause")
    pages.set_creator("drplatform")
    pages.set_creation_date(assessment.at)
    pages.set_lang("en")
    pages.add_page()
    _cover(pages, assessment)
    _calendar(pages, assessment)
    _deficiencies(pages, assessment)
    for section in dict.fromkeys(f.clause.section for f in assessment.findings):
        _clauses(pages, section, [f for f in assessment.findings if f.clause.section == section])
    _controls(pages, assessment)
    for trend in trends.trends(past):
        _trend(pages, trend)
    if projections:
        lead = "A straight line through what was measured at several sizes, with a 90 % interval. An estimate, never evidence."
        _title(pages, "Recovery time at production size (estimate)", lead)
        _table(pages, ("Store", "Measured", "Production size", "Estimate"), projections, (26, 50, 30, 74))
    _basis(pages, assessment)
    _meanings(pages)
    return bytes(pages.output())


def plain(text: str) -> str:
    """The text as far as the standard fonts have it."""
    return text.encode("cp1252", "replace").decode("cp1252")


def _cover(pages: _Pages, assessment: Assessment) -> None:
    _text(pages, "Compliance report", 10, SOFT)
    _text(pages, "Backup and disaster recovery strategy, clause by clause", 17, INK, bold=True)
    basis = assessment.basis
    where = ", ".join(basis.platforms) or "no platform"
    _text(
        pages,
        f"As of {assessment.at:%Y-%m-%d %H:%M} UTC, under the policy {basis.policy}, from {basis.drills} drills on {where}.",
        10,
        SOFT,
    )
    pages.ln(3)
    top, width = pages.get_y(), WIDTH / len(Status)
    for number, status in enumerate(Status):
        count = sum(f.status is status for f in assessment.findings)
        _tile(pages, pages.l_margin + number * width, top, width - 3, status, f"{count} of {len(assessment.findings)}")
    pages.set_y(top + 21)


def _tile(pages: _Pages, x: float, y: float, width: float, status: Status, figure: str) -> None:
    ink, back = COLOURS[status]
    pages.set_fill_color(*back)
    pages.set_draw_color(*LINE)
    pages.rect(x, y, width, 18, style="DF", round_corners=True, corner_radius=2)
    pages.set_text_color(*ink)
    pages.set_xy(x + 3, y + 2)
    pages.set_font("helvetica", size=9)
    pages.cell(width - 6, 5, plain(status.value))
    pages.set_xy(x + 3, y + 8)
    pages.set_font("helvetica", "B", 15)
    pages.cell(width - 6, 7, figure)


def _calendar(pages: _Pages, assessment: Assessment) -> None:
    _title(pages, "Drill calendar", "Evidence counts for as long as the cadence of its drill says.")
    rows: list[Row] = [
        (d.name, d.cadence, day(d.passed), day(d.due) if d.due else "now", str(d.attempts), "overdue" if d.overdue(assessment.at) else "in time")
        for d in assessment.calendar
    ]  # fmt: skip
    _table(pages, ("Drill", "Cadence", "Last passed", "Due", "Runs", "State"), rows, (52, 26, 30, 30, 18, 24))
    if assessment.unfinished:
        _text(pages, f"Begun, and without evidence: {', '.join(assessment.unfinished)}.", 9, INK)


def _deficiencies(pages: _Pages, assessment: Assessment) -> None:
    if not assessment.deficiencies:
        return
    _title(
        pages, "Deficiencies, actions and retests", "A drill that failed stays open until the same scenario passes under today's policy."
    )
    rows: list[Row] = [
        (
            f"{d.scenario}: {d.finding} ({d.drill}, {day(d.found)})",
            "\n".join(f"{a.text} ({a.owner}, due {a.due:%Y-%m-%d})" for a in d.actions) or "none planned",
            f"{d.retest}, {day(d.retested)}" if d.retest else d.state(assessment.at.date()),
        )
        for d in assessment.deficiencies
    ]
    _table(pages, ("Deficiency", "Corrective action", "Retest"), rows, (84, 54, 42))


def _clauses(pages: _Pages, section: str, findings: Sequence[Finding]) -> None:
    _title(pages, section)
    rows: list[Row] = [(_promise(f), f.status, _evidence(f), day(f.expires) if f.expires else "") for f in findings]
    _table(pages, ("The strategy says", "Status", "Evidence", "Counts until"), rows, (86, 24, 46, 24))


def _promise(finding: Finding) -> str:
    how = "" if finding.status is Status.PROVEN else f"\nto prove it: {finding.clause.how}"
    return finding.clause.text + (f"\n{finding.reason}" if finding.reason else "") + how


def _evidence(finding: Finding) -> str:
    more = len(finding.evidence) - 1
    lines = [*finding.evidence[:1], *([f"and {more} more"] if more > 0 else []), *([f"on {finding.platform}"] if finding.platform else [])]
    return "\n".join(lines)


def _controls(pages: _Pages, assessment: Assessment) -> None:
    _title(pages, "Controls", "A control stands as the worst of the clauses that bear on it: proven only when all of them are.")
    rows: list[Row] = []
    for name in assessment.controls:
        open_ = [f"{f.clause.text} ({f.status.value})" for f in assessment.of(name) if f.status is not Status.PROVEN]
        standing = f"{assessment.standing(name)}\n{assessment.proven(name)} of {len(assessment.of(name))}"
        rows.append((f"{name}\n{controls.control(name).asks}", _Badge(assessment.control(name), standing), _some(open_)))
    _table(pages, ("Control", "Status", "Not proven"), rows, (60, 24, 96))


def _some(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return "; ".join(texts[:SHOWN]) + more or "nothing"


def _trend(pages: _Pages, trend: trends.Trend) -> None:
    _title(pages, f"Trend: {trend.scenario}", f"{trend.runs} runs, the oldest at the left.", room=90)
    for chart in trend.charts:
        _chart(pages, chart)


def _chart(pages: _Pages, chart: trends.Chart) -> None:
    if pages.get_y() > pages.h - 55:
        pages.add_page()
    _text(pages, f"{chart.title} (top: {chart.top}; {chart.first} to {chart.last})", 9, INK)
    left, top, width, height = pages.l_margin, pages.get_y() + 1, WIDTH, 26.0
    pages.set_draw_color(*LINE)
    pages.rect(left, top, width, height)
    for block in chart.blocks:
        pages.set_fill_color(block.colour)
        x, y = left + width * block.x / 100, top + height * block.y / 100
        pages.rect(x, y, width * block.width / 100, height * block.height / 100, style="F")
    for line in chart.lines:
        pages.set_draw_color(line.colour)
        pages.set_fill_color(line.colour)
        dots = [(left + width * x / 100, top + height * y / 100) for x, y, _ in line.dots]
        pages.polyline(dots)
        for x, y in dots:
            pages.circle(x, y, 0.8, style="F")
    pages.set_y(top + height + 1)
    _legend(pages, chart.keys)


def _legend(pages: _Pages, keys: Sequence[tuple[str, str]]) -> None:
    pages.set_font("helvetica", size=8)
    pages.set_text_color(*SOFT)
    for name, colour in keys:
        if pages.get_x() + pages.get_string_width(plain(name)) + 10 > pages.l_margin + WIDTH:
            pages.ln(4.5)
        pages.set_fill_color(colour)
        pages.rect(pages.get_x(), pages.get_y() + 1, 2.5, 2.5, style="F")
        pages.set_x(pages.get_x() + 3)
        pages.cell(pages.get_string_width(plain(name)) + 4, 4.5, plain(name))
    pages.ln(7)


def _basis(pages: _Pages, assessment: Assessment) -> None:
    basis = assessment.basis
    _title(pages, "What this stands on")
    since = f", from {day(basis.first)} to {day(basis.last)}" if basis.first else ""
    for line in (
        f"Policy {basis.policy}, SHA-256 {basis.policy_hash}.",
        f"{basis.drills} drills with a verdict, all attempts counted{since}, on {', '.join(basis.platforms) or 'no platform'}.",
        f"{basis.records} records of the audit log; each was found to carry the hash of the one before it. Hash of the last: {basis.head or 'none'}.",
        f"Made by drplatform {importlib.metadata.version('drplatform')}.",
        *(wording.CAVEATS[p].replace("`", "") for p in basis.platforms if p in wording.CAVEATS),
    ):
        _text(pages, line, 9, INK)


def _meanings(pages: _Pages) -> None:
    _title(pages, "How to read this")
    for status, meaning in MEANINGS.items():
        _text(pages, f"{status.value}: {meaning}", 9, INK)
    _text(pages, "not all tested, of a control: some of its clauses are proven, others no drill has tested. This is not a pass.", 9, INK)


MEANINGS = {
    Status.PROVEN: "the newest drill that concerns the clause passed, showed it, and is fresh: within its cadence, under today's policy, on "
    "the servers of today.",
    Status.STALE: "it was proven once. The reason says what has changed since; repeat the drill.",
    Status.NEVER_TESTED: "no drill has tested it to a decision. This is not a pass.",
    Status.FAILED: "the newest decisive drill that concerns the clause did not pass. Mend the cause and repeat the drill.",
}


# -- drawing --------------------------------------------------------------------------------------------------------------------


def _title(pages: _Pages, text: str, lead: str = "", room: float = 55) -> None:
    if pages.get_y() > pages.h - room:  # a title alone at the foot of a page belongs to nothing
        pages.add_page()
    pages.ln(4)
    pages.start_section(plain(text))
    _text(pages, text, 12, INK, bold=True)
    if lead:
        _text(pages, lead, 9, SOFT)
    pages.ln(1)


def _text(pages: _Pages, text: str, size: int, ink: tuple[int, int, int], *, bold: bool = False) -> None:
    pages.set_font("helvetica", "B" if bold else "", size)
    pages.set_text_color(*ink)
    pages.multi_cell(0, size * 0.48, plain(text), align="L", new_x="LMARGIN", new_y="NEXT")


def _table(pages: _Pages, heads: Sequence[str], rows: Iterable[Row], widths: Sequence[float]) -> None:
    pages.set_font("helvetica", size=8.5)
    pages.set_text_color(*INK)
    pages.set_draw_color(*LINE)
    pages.set_fill_color(255, 255, 255)
    head = FontFace(emphasis="BOLD", color=SOFT, fill_color=(255, 255, 255))
    with pages.table(
        width=WIDTH,
        col_widths=tuple(widths),
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        headings_style=head,
        line_height=4.2,
        padding=1,
        text_align="LEFT",
        align="LEFT",
        v_align="TOP",
    ) as table:
        for cells in (heads, *rows):
            row = table.row()
            for cell in cells:
                text = cell.value if isinstance(cell, Status) else cell.text if isinstance(cell, _Badge) else cell
                row.cell(plain(text), style=_style(cell))


def _style(cell: str | Status | _Badge) -> FontFace | None:
    if isinstance(cell, str):
        return None
    ink, back = COLOURS[cell.status if isinstance(cell, _Badge) else cell]
    return FontFace(color=ink, fill_color=back, emphasis="BOLD")


def day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "never"
