"""What the reports show of an evidence's document, read with care: what is missing or malformed is shown as missing, never as good.

Knows the shape of the documents in `model.evidence`; decides nothing. Times are seconds since the drill began.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drplatform.reports import wording

Document = Mapping[str, Any]

LOSSES = {
    "lost": "acknowledged, but gone",
    "phantom": "there, but never written",
    "duplicated": "there more than once",
    "mutated": "there with changed content",
    "reordered": "there in the wrong order",
}
"""The findings of a comparison that count against the recovery, in words."""

NAMES = {"rto": "Recovery time (RTO)", "rpo": "Data loss (RPO)", "skew": "Skew between the stores"}


@dataclass(frozen=True)
class Target:
    """One measurement beside its target; `upper` is None when it was not measured. `lost` of `acked` writes for an RPO."""

    name: str
    subject: str
    target: float | None
    lower: float | None
    upper: float | None
    verdict: str
    reason: str
    lost: int | None = None
    acked: int | None = None

    @property
    def title(self) -> str:
        return NAMES.get(self.name, self.name)


@dataclass(frozen=True)
class Sentence:
    """One sentence of the scenario and how it ended."""

    text: str
    verdict: str
    begin: float | None
    end: float | None
    note: str


@dataclass(frozen=True)
class Fault:
    """One disaster: on which targets it was seen, how, and between which moments it took effect."""

    name: str
    targets: tuple[str, ...]
    seen: str
    lower: float | None
    upper: float | None
    more: Mapping[str, Any]

    @property
    def confirmed(self) -> bool:
        return bool(self.targets)


@dataclass(frozen=True)
class Outage:
    """The interruption of one store as its prober saw it: it began, and ended, each between two moments."""

    store: str
    last_answer: float | None
    first_silence: float | None
    last_silence: float | None
    first_answer: float | None
    more: Mapping[str, Any]


@dataclass(frozen=True)
class Piece:
    """One step of the recovery on the time axis."""

    step: str
    phase: str
    begin: float
    end: float


def verdict(value: object) -> str:
    """PASSED, FAILED, INCONCLUSIVE or SKIPPED; what is none of these is INCONCLUSIVE."""
    word = str(value).upper().replace("NOT RUN", "SKIPPED")
    return word if word in ("PASSED", "FAILED", "SKIPPED") else "INCONCLUSIVE"


def mapping(value: object) -> Document:
    return value if isinstance(value, Mapping) else {}


def listing(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else []


def mappings(value: object) -> list[Document]:
    return [item for item in listing(value) if isinstance(item, Mapping)]


def rest(item: Document, *told: str) -> dict[str, Any]:
    """What of the item has not been told elsewhere."""
    return {name: value for name, value in item.items() if name not in told and value not in (None, "", [], {})}


def span(value: object) -> tuple[float | None, float | None]:
    """The bounds `[lower, upper]`; none unless both are there."""
    lower, upper = [*map(wording.known, listing(value)), None, None][:2]
    return (lower, upper) if lower is not None and upper is not None else (None, None)


def targets(document: Document) -> list[Target]:
    """The measurements in their order, RTO before RPO before others; those of an RPO with the writes lost."""
    losses = {str(loss.get("store")): loss for loss in mappings(document.get("losses"))}
    found = [_target(item, losses) for item in mappings(document.get("measurements"))]
    return sorted(found, key=lambda t: list(NAMES).index(t.name) if t.name in NAMES else len(NAMES))


def _target(item: Document, losses: Mapping[str, Document]) -> Target:
    lower, upper = wording.known(item.get("lower")), wording.known(item.get("upper"))
    name, subject = str(item.get("name", "")), str(item.get("subject", ""))
    loss = losses.get(subject, {}) if name == "rpo" else {}
    if lower is None or upper is None:
        lower = upper = None
    return Target(
        name=name,
        subject=subject,
        target=wording.known(item.get("target")),
        lower=lower,
        upper=upper,
        verdict=verdict(item.get("verdict", "INCONCLUSIVE")),
        reason=str(item.get("reason") or ""),
        lost=loss.get("lost"),
        acked=loss.get("acked"),
    )


def sentences(document: Document) -> list[Sentence]:
    """The scenario's sentences; when they ran is read from the timeline, in order, since a sentence may stand there twice."""
    times = _times(document)
    items = mappings(mapping(document.get("scenario")).get("sentences"))
    return [_sentence(item, times.get(str(item.get("text", "")), [])) for item in items]


def _times(document: Document) -> dict[str, list[list[float | None]]]:
    """When the activities of each text ran: [begin] or [begin, end]."""
    found: dict[str, list[list[float | None]]] = {}
    for event in mappings(document.get("timeline")):
        subject, _, verb = str(event.get("name")).partition(".")
        runs = found.setdefault(str(mapping(event.get("detail")).get("text")), []) if subject == "activity" else []
        if verb == "begin":
            runs.append([wording.known(event.get("t"))])
        elif runs and len(runs[-1]) == 1:
            runs[-1].append(wording.known(event.get("t")))
    return found


def _sentence(item: Document, runs: list[list[float | None]]) -> Sentence:
    ended, _, note = str(item.get("result", "not run")).partition(": ")
    skipped = verdict(ended) == "SKIPPED"
    begin, end = ([*runs.pop(0), None] if runs and not skipped else [None, None])[:2]
    return Sentence(str(item.get("text", "")), verdict(ended), begin, end, note)


def faults(document: Document) -> list[Fault]:
    return [_fault(item) for item in mappings(document.get("faults"))]


def _fault(item: Document) -> Fault:
    return Fault(
        name=str(item.get("fault", "fault")),
        targets=tuple(map(str, listing(item.get("targets")))),
        seen=str(item.get("seen") or ""),
        lower=wording.known(item.get("began")),
        upper=wording.known(item.get("confirmed")),
        more=rest(item, "fault", "targets", "seen", "began", "confirmed"),
    )


def outages(document: Document) -> list[Outage]:
    probes = mapping(document.get("probes"))
    return [_outage(str(store), mapping(seen)) for store, seen in probes.items()]


def _outage(store: str, seen: Document) -> Outage:
    return Outage(store, *span(seen.get("down")), *span(seen.get("back")), rest(seen, "down", "back"))


def pieces(document: Document) -> list[Piece]:
    """The recovery's steps in the order in which they began; what has no times is left out."""
    return sorted(_pieces(document), key=lambda p: (p.begin, p.end))


def _pieces(document: Document) -> Iterator[Piece]:
    for item in mappings(document.get("spans")):
        begin, end = wording.known(item.get("begin")), wording.known(item.get("end"))
        if begin is not None and end is not None and begin <= end:
            yield Piece(str(item.get("step", "")), str(item.get("phase", "")), begin, end)


def damage(loss: Document) -> dict[str, int]:
    """How many writes of each bad kind a comparison found; only those that are not zero."""
    return {name: int(found) for name in LOSSES if (found := wording.known(loss.get(name)))}


def reasons(document: Document) -> list[str]:
    """Each thing that keeps the run from passing, one sentence each, the worst first."""
    found = [*_missed(document), *_unsound(document), *_unended(document), *map(str, listing(document.get("doubts")))]
    return list(dict.fromkeys(found))


def _unended(document: Document) -> Iterator[str]:
    """The sentences that failed for a reason of their own, and how many never ran."""
    told = sentences(document)
    for sentence in told:
        if sentence.verdict not in ("PASSED", "SKIPPED") and sentence.note and not _is_judgement(sentence, document):
            yield f"Did not end well: {sentence.text}: {sentence.note}"
    if skipped := [s.text for s in told if s.verdict == "SKIPPED"]:
        yield f"Did not run: {wording.counted(len(skipped), 'sentence')}, from {skipped[0]!r} on."


def _is_judgement(sentence: Sentence, document: Document) -> bool:
    """Whether the sentence only repeats a measurement or a check that is told anyway."""
    names = [f"{t.name} of {t.subject}:" for t in targets(document)]
    names += [f"{check.get('name')}:" for check in mappings(document.get("checks"))]
    return any(sentence.note.startswith(name) for name in names)


def _missed(document: Document) -> Iterator[str]:
    for item in sorted(targets(document), key=lambda t: t.verdict != "FAILED"):
        label = f"{item.name.upper()} of {item.subject}"
        if item.verdict == "FAILED":
            yield f"{label} missed: {wording.bounds(item.lower, item.upper)}, the target is below {wording.duration(item.target)}."
        elif item.upper is None and item.verdict != "PASSED":
            yield f"{label} not measured: {item.reason or 'no reason was recorded'}"
        elif item.verdict != "PASSED":
            yield (
                f"{label} not decided: the target {wording.duration(item.target)} lies within the bounds "
                f"{wording.bounds(item.lower, item.upper)}."
            )


def _unsound(document: Document) -> Iterator[str]:
    for check in mappings(document.get("checks")):
        if verdict(check.get("verdict")) == "FAILED":
            yield f"Data wrong: {check.get('name')}: {check.get('finding')}"
        elif verdict(check.get("verdict")) != "PASSED":
            yield f"Check without proof: {check.get('name')}: {check.get('finding')} (planted defect: {check.get('control')})"
    for fault in faults(document):
        if not fault.confirmed:
            yield f"Fault not confirmed: {fault.name} was seen on no target."
