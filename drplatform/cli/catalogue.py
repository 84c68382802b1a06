"""`drplatform steps` and `policy`: what there is to write drills with."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from drplatform import environment
from drplatform.cli import options
from drplatform.engine import phrases
from drplatform.model.backup import SCHEDULABLE, BackupKind
from drplatform.model.policy import Policy


@click.command()
@click.option("--find", default="", help="Only sentences that hold this word.")
@click.option("--markdown", is_flag=True, help="Print a table in Markdown, e.g. for a team's handbook.")
@options.AS_JSON
def steps(find: str, markdown: bool, as_json: bool) -> int:
    """List the sentences that features may use, and what may stand in them.

    \b
    drplatform steps
    drplatform steps --find backup
    drplatform steps --markdown > steps.md
    """
    chosen = [p for p in phrases.PHRASES if find.lower() in f"{p.pattern} {p.meaning}".lower()]
    rows = [{"keyword": p.keyword, "sentence": p.pattern, "meaning": p.meaning} for p in chosen]
    options.told(as_json, {"steps": rows, "words": WORDS}, *(_table(chosen) if markdown else _lines(chosen)))
    return 0


def _lines(chosen: Sequence[phrases.Phrase]) -> Iterator[str]:
    for phrase in chosen:
        yield click.style(f"{phrase.keyword.capitalize():5} {phrase.pattern}", bold=True)
        yield f"      {phrase.meaning}"
    yield ""
    yield from (f"{name:9} {words}" for name, words in WORDS.items())


def _table(chosen: Sequence[phrases.Phrase]) -> Iterator[str]:
    yield from ("| keyword | sentence | meaning |", "|---|---|---|")
    yield from (f"| {p.keyword.capitalize()} | `{p.pattern}` | {p.meaning} |" for p in chosen)
    yield from ("", *(f"- `{name}`: {words}" for name, words in WORDS.items()))


WORDS = {
    "{stores}": f"{', '.join(phrases.STORES)}; several as in 'MongoDB, Redis and file storage'",
    "{targets}": f"a store and {' | '.join(phrases.TARGETS)}; several as above",
    "{kind}": ", ".join(kind.value for kind in SCHEDULABLE if kind is not BackupKind.LOG),
    "{region}": "primary, secondary",
    "{fault}": "see: drplatform faults list",
}
"""What may stand in the places of a sentence."""


@click.group()
def policy() -> None:
    """Look at a policy."""


@policy.command()
@click.argument("path", type=options.PATH, required=False)
@options.AS_JSON
def check(path: Path | None, as_json: bool) -> int:
    """Check the policy at PATH (default: the one that comes with drplatform) and show its targets."""
    found = environment.load_policy(path)
    targets = {name: {"rto": found.rto(name), "rpo": found.rpo(name)} for name in found.stores}
    options.told(as_json, {"name": found.name, "hash": found.hash, "targets": targets}, *_targets(found))
    return 0


def _targets(found: Policy) -> list[str]:
    rows = [
        f"{s.name:16} RTO < {found.rto(s.name):>7g} s ({s.tier})   RPO < {found.rpo(s.name):>7g} s ({s.data_class})"
        for s in found.stores.values()
    ]
    return [f"Policy {found.name}, hash {found.hash[:12]}", *rows]
