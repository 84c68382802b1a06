"""`drplatform coverage`: which disasters were recovered from, which never were, and which drill to write next."""

import json

import click

from drplatform import exercises
from drplatform.cli import options
from drplatform.environment import Environment
from drplatform.model.coverage import Matrix


@click.command()
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True, help="How many gaps to show.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every cell.")
@options.settings_options
def coverage(top: int, as_json: bool, **told: object) -> int:
    """Show fault x store x recovery: what drills have tested, the untested cells ranked by risk, and the next drill proposed.

    A cell is tested by a drill that passed within the last quarter. Risk is likelihood (1 to 3) times impact (1 to 3).
    """
    found = exercises.coverage(Environment.open(options.settings(**told)))
    if as_json:
        click.echo(json.dumps(_document(found), indent=2))
        return 0
    click.secho(f"{found.tested} of {len(found.cells)} cells are tested.", bold=True)
    for cell, seen in found.seen.items():
        click.secho(f"  {seen.verdict:7} {cell} ({seen.drill})", fg="green" if seen.fresh(found.at) else "yellow")
    click.echo(f"\nNot tested, by risk ({len(found.gaps)}):")
    for gap in found.gaps[:top]:
        click.echo(f"  {gap.risk}  {gap.cell}: {gap.why}")
    if found.gaps:
        click.secho(f"\nNext drill: {exercises.proposal(found.gaps[0].cell)}", bold=True)
    return 0


def _document(found: Matrix) -> dict[str, object]:
    gaps = {gap.cell: gap for gap in found.gaps}
    return {
        "tested": found.tested,
        "cells": [
            {
                **vars(cell),
                "drill": found.seen[cell].drill if cell in found.seen else None,
                "verdict": found.seen[cell].verdict if cell in found.seen else None,
                "risk": gaps[cell].risk if cell in gaps else 0,
                "why": gaps[cell].why if cell in gaps else "",
            }
            for cell in found.cells
        ],
    }
