"""The report of a game day: what happened, how long the person took, who signed."""

from pathlib import Path

from drplatform.model.clock import Interval
from drplatform.model.evidence import Evidence
from drplatform.reports import documents, facts, prose, wording


def write(evidence: Evidence, times: dict[str, Interval], notes: dict[str, int], directory: Path) -> dict[str, Path]:
    """Write `gameday-<id>.md` and `.html`; the files by format."""
    return prose.write(document(evidence, times, notes), directory, f"gameday-{evidence.id}")


def document(evidence: Evidence, times: dict[str, Interval], notes: dict[str, int]) -> prose.Document:
    """`times` by what they are (detect, decide, repair); `notes` are numbers of mistakes by their name."""
    record = documents.document(evidence)
    rows = [(name, wording.bounds(t.lower, t.upper)) for name, t in times.items()]
    signed = [
        (str(detail.get("role")), str(detail.get("who")), str(event.get("utc"))[:19])
        for event in facts.mappings(record["timeline"])
        if event.get("name") == "gameday.signed" and (detail := facts.mapping(event.get("detail")))
    ]
    blocks: list[prose.Block] = [
        prose.Heading("What happened, unannounced"),
        prose.Items([f"{f.name} on {', '.join(f.targets)}: {f.seen}" for f in facts.faults(record)]),
        prose.Heading("How long the person took"),
        prose.Table(("", "Seconds"), rows),
        prose.Items([f"{name}: {number}" for name, number in notes.items()]),
        prose.Heading("What users saw"),
        prose.Table(
            ("", "Measured", "Target", "Verdict"),
            [
                (f"{t.title} of {t.subject}", wording.bounds(t.lower, t.upper), f"below {wording.duration(t.target)}", t.verdict.lower())
                for t in facts.targets(record)
            ],
        ),
        prose.Heading("Signed off"),
        prose.Table(("Role", "Who", "When (UTC)"), signed),
        prose.Text(f"The review is prefilled by `drplatform review {evidence.id}`."),
    ]
    about = f"{wording.moment(evidence.started)} on {evidence.platform}, seed {evidence.seed}: {evidence.verdict.name}"
    return prose.Document("Game day", "A disaster unannounced, a person by the runbook", about, blocks)
