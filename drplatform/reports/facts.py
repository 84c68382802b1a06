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

NAMES = {"rto": "Recovery time (RTO)", "rpo": "Data loss (RPO)"}

_VERDICTS = {
    "PASSED": ("passed", "pass", "ok", "true", "done"),
    "FAILED": ("failed", "fail", "error", "false", "undefined"),
    "INCONCLUSIVE": ("inconclusive", "broken", "unknown"),
    "SKIPPED": ("skipped", "pending", "not run", "none"),
}


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
    """The interruption of one store as its prober saw it: answering until `began`, again from between `lower` and `upper`."""

    store: str
    began: float | None
    lower: float | None
    upper: float | None
    more: Mapping[str, Any]


@dataclass(frozen=True)
class Piece:
    """One step of the recovery on the time axis."""

    step: str
    phase: str
    begin: float
    end: float


def verdict(value: object) -> str:
    """PASSED, FAILED, INCONCLUSIVE or SKIPPED, from any of the words that stand for them; other words as they are, upper case."""
    word = str(value).strip().lower()
    return next((name for name, words in _VERDICTS.items() if word in words), word.upper())


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
    """Bounds from `[lower, upper]`, `{"lower": .., "upper": ..}` or one number."""
    if isinstance(value, Mapping):
        return wording.known(value.get("lower")), wording.known(value.get("upper"))
    pair = listing(value) if isinstance(value, list | tuple) else [value, value]
    return (wording.known(pair[0]), wording.known(pair[-1])) if pair else (None, None)


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
    scenario = mapping(document.get("scenario"))
    items = listing(scenario.get("sentences")) or listing(scenario.get("steps"))
    return [_sentence(item if isinstance(item, Mapping) else {"text": item}) for item in items]


def _sentence(item: Document) -> Sentence:
    words = item.get("text") or item.get("sentence") or item.get("name") or ""
    keyword = str(item.get("keyword") or "").strip()
    ended = next((item[k] for k in ("verdict", "status", "outcome", "ended", "result") if k in item), "SKIPPED")
    return Sentence(
        text=f"{keyword} {words}".strip(),
        verdict=verdict(ended),
        begin=wording.known(item.get("begin")),
        end=wording.known(item.get("end")),
        note=str(item.get("note") or item.get("error") or ""),
    )


def faults(document: Document) -> list[Fault]:
    return [_fault(item) for item in mappings(document.get("faults"))]


def _fault(item: Document) -> Fault:
    receipt = {**item, **mapping(item.get("receipt"))}
    lower, upper = span(item.get("effect"))
    told = ("fault", "kind", "name", "effect", "receipt", "targets", "seen")
    return Fault(
        name=str(item.get("fault") or item.get("name") or item.get("kind") or "fault"),
        targets=tuple(map(str, listing(receipt.get("targets")))),
        seen=str(receipt.get("seen") or ""),
        lower=lower,
        upper=upper,
        more=rest(item, *told),
    )


def outages(document: Document) -> list[Outage]:
    probes = mapping(document.get("probes"))
    return [_outage(str(store), mapping(seen)) for store, seen in probes.items()]


def _outage(store: str, seen: Document) -> Outage:
    lower, upper = span(seen.get("back"))
    first = wording.known(seen.get("first_failure"))
    return Outage(store, first, lower, upper, rest(seen, "first_failure", "back"))


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
    found = [*_missed(document), *_unsound(document), *map(str, listing(document.get("doubts")))]
    return list(dict.fromkeys(found))


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
