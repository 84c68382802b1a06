"""The few lines that a terminal shows at the end of a drill: plain text, at most 100 columns, no colours."""

import textwrap

from drplatform.model.evidence import Evidence
from drplatform.reports import documents, facts, wording

WIDTH = 100


def lines(evidence: Evidence) -> list[str]:
    """Verdict, then RTO and RPO of each store with bounds and target, what was lost, what did not pass, and doubts."""
    document = documents.document(evidence)
    return [line.rstrip() for block in (_verdict(document), _targets(document), _losses(document), _reasons(document)) for line in block]


def _verdict(document: facts.Document) -> list[str]:
    verdict = str(document["verdict"])
    sentence = str(document["summary"] or wording.HEADLINES.get(verdict, ""))
    return [
        *_wrapped(f"{verdict}  {sentence}", "", " " * (len(verdict) + 2)),
        *_wrapped(f"{_name(document)} on {document['platform']}, {wording.duration(document['seconds'])}, drill {document['id']}", "", ""),
    ]


def _name(document: facts.Document) -> str:
    return str(facts.mapping(document["scenario"]).get("name", "drill"))


def _targets(document: facts.Document) -> list[str]:
    found = facts.targets(document)
    if not found:
        return ["", "Nothing was measured."]
    rows = [[f"{t.name.upper()} {t.subject}", _measured(t), _allowed(t), t.verdict] for t in found]
    if _width(rows) > WIDTH:  # rather without the shares than with names cut
        rows = [[*row[:2], row[2].partition(" (")[0], row[3]] for row in rows]
    return ["", *table(rows, shrink=0)]


def _measured(target: facts.Target) -> str:
    return wording.bounds(target.lower, target.upper)


def _allowed(target: facts.Target) -> str:
    part = wording.share(target.upper, target.target)
    return f"target below {wording.duration(target.target)}" + (f" ({part} used)" if part else "")


def _losses(document: facts.Document) -> list[str]:
    found = facts.mappings(document["losses"])
    if not found:
        return ["", "What was lost is not known: the ledger was not compared."]
    return ["", *table([[f"Loss {loss.get('store')}", _lost(loss), _others(loss)] for loss in found], shrink=2)]


def _lost(loss: facts.Document) -> str:
    return f"{wording.count(loss.get('lost'))} of {wording.counted(loss.get('acked'), 'acknowledged write')}"


def _others(loss: facts.Document) -> str:
    found = [f"{number:,} {kind}" for kind, number in facts.damage(loss).items() if kind != "lost"]
    unknown = wording.known(loss.get("indeterminate"))
    return ", ".join(found + ([f"{unknown:,.0f} without a known outcome"] if unknown else []))


def _reasons(document: facts.Document) -> list[str]:
    found = facts.reasons(document)
    if not found:
        checks = facts.mappings(document["checks"])
        return ["", f"All {wording.counted(len(checks), 'check')} passed, and caught the defects planted for them."] if checks else []
    passed = document["verdict"] == "PASSED"
    title = "The verdict is PASSED, and yet the record says:" if passed else "Why not PASSED:"
    return ["", title, *(line for reason in found for line in _wrapped(reason, "- ", "  "))]


def table(rows: list[list[str]], *, shrink: int) -> list[str]:
    """The rows with aligned columns, at most WIDTH wide: the column `shrink` is cut (with an ellipsis) when they are wider."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[shrink] = max(8, widths[shrink] - max(0, _width(rows) - WIDTH))
    return ["  ".join(_fit(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()[:WIDTH] for row in rows]


def _width(rows: list[list[str]]) -> int:
    """Columns that the rows take when nothing is cut, two between any two cells."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return sum(widths) + 2 * (len(widths) - 1)


def _fit(cell: str, width: int) -> str:
    return cell.ljust(width) if len(cell) <= width else cell[: width - 1] + "…"


def _wrapped(text: str, first: str, then: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=then, break_on_hyphens=False)
