"""Runbooks as documents: each step with its command, how long it takes, how to tell that it worked and how to take it back."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from drplatform.model.history import Expected
from drplatform.model.instructions import Book, Instruction
from drplatform.reports import prose, wording


def write(books: Sequence[Book], past: Mapping[str, Expected], directory: Path) -> dict[str, dict[str, Path]]:
    """Write `<component>.md` and `.html` for each book; the files by component and format."""
    return {book.component: prose.write(document(book, past), directory, book.component) for book in books}


def document(book: Book, past: Mapping[str, Expected]) -> prose.Document:
    blocks: list[prose.Block] = [
        prose.Heading("When to follow it"),
        prose.Text(book.when),
        prose.Text(
            "Go from step to step. Do not go on before you can tell that a step has worked; write down when you began and ended each."
        ),
        prose.Heading("At a glance"),
        _overview(book, past),
    ]
    for number, step in enumerate(book.instructions, 1):
        blocks += _step(number, step, past)
    blocks += [
        prose.Heading("Sign-off"),
        prose.Text("Recovered by, when, to which point, with what loss; confirmed by a second person:"),
        prose.Text("______________________________________________________"),
    ]
    return prose.Document(book.title, "Runbook", _about(book, past), blocks)


def _about(book: Book, past: Mapping[str, Expected]) -> str:
    known = [past[s.name] for s in book.instructions if s.name in past]
    if not known:
        return "Rendered from the steps that drills run. No drill has timed them yet."
    total = sum(e.median for e in known)
    return (
        f"Rendered from the steps that drills run. Expect about {wording.duration(total)} at the size of the last drills "
        f"({wording.counted(max(e.runs for e in known), 'run')}); a production size takes longer."
    )


def _overview(book: Book, past: Mapping[str, Expected]) -> prose.Table:
    rows = [
        (f"{n}. {s.name}", s.phase, expected(s, past), f"at most {wording.duration(s.within)}") for n, s in enumerate(book.instructions, 1)
    ]
    return prose.Table(("Step", "Phase", "Took in drills", "Give up after"), rows)


def expected(step: Instruction, past: Mapping[str, Expected]) -> str:
    """How long it took so far."""
    found = past.get(step.name)
    if found is None:
        return "not timed yet"
    return f"{wording.duration(found.median)} ({wording.counted(found.runs, 'run')}, longest {wording.duration(found.longest)})"


def _step(number: int, step: Instruction, past: Mapping[str, Expected]) -> list[prose.Block]:
    lead = " ".join(part for part in (step.why, "It goes on at once with the step before." if step.together else "") if part)
    return [
        prose.Heading(f"{number}. {step.name}"),
        prose.Text(lead or f"Phase: {step.phase}."),
        prose.Code(step.command),
        prose.Items(
            (
                f"It has worked when: {step.tell}",
                f"Expect: {expected(step, past)}; give up after {wording.duration(step.within)} and escalate.",
                f"To take it back: {step.undo}",
            )
        ),
    ]
