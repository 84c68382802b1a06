"""Trends over the runs of a scenario: RTO by phase, RPO, size and throughput, as numbers laid out for drawing. Draws nothing itself.

One chart has one axis of runs (in their order, evenly apart) and one of values from zero.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from drplatform.model import history, timeline
from drplatform.model.history import Point
from drplatform.reports import wording

KEPT = 24
"""Runs on a chart; older ones are in the audit log."""

TITLES = {
    history.RTO: ("Recovery time by store", "seconds"),
    history.RPO: ("Data loss by store", "seconds"),
    history.SIZE: ("Size of what was restored", "bytes"),
    history.THROUGHPUT: ("Throughput of restores", "bytes a second"),
}
COLOURS = ("#2b62b8", "#b3502f", "#16786a", "#7a5bb5", "#8a6d10", "#1d7f99", "#9a4f92", "#4b7d1e", "#5a6675", "#9f1023")


@dataclass(frozen=True)
class Line:
    """The values of one store over the runs, as (x, y) in percent; y is 0 at the top. A run without a value is left out."""

    label: str
    colour: str
    dots: tuple[tuple[float, float, str], ...]

    @property
    def path(self) -> str:
        return " ".join(f"{x:.2f},{y:.2f}" for x, y, _ in self.dots)


@dataclass(frozen=True)
class Block:
    """A piece of a column: where it begins, its size in percent, what it is."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    title: str


@dataclass(frozen=True)
class Chart:
    """`top` is the value at the upper edge, in words; `first` and `last` the days at both ends."""

    title: str
    top: str
    first: str
    last: str
    lines: tuple[Line, ...] = ()
    blocks: tuple[Block, ...] = ()
    keys: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Trend:
    scenario: str
    runs: int
    charts: tuple[Chart, ...]


def trends(points: Sequence[Point]) -> tuple[Trend, ...]:
    """The trends of every scenario with three runs or more: two are a difference."""
    by_scenario: dict[str, list[Point]] = {}
    for point in points:
        by_scenario.setdefault(point.scenario, []).append(point)
    made = (_trend(scenario, found) for scenario, found in by_scenario.items())
    return tuple(trend for trend in made if trend.runs > 2)


def _trend(scenario: str, points: list[Point]) -> Trend:
    drills = list(dict.fromkeys(p.drill for p in points))[-KEPT:]
    recent = [p for p in points if p.drill in drills]
    charts = [_phases(recent, drills), *(_lines(of, recent, drills) for of in TITLES)]
    return Trend(scenario, len(drills), tuple(c for c in charts if c))


def _lines(of: str, points: Sequence[Point], drills: Sequence[str]) -> Chart | None:
    chosen = history.chosen(points, of)
    top = max((p.value for p in chosen), default=0.0)
    if not chosen or top <= 0:
        return None
    subjects = dict.fromkeys(p.subject for p in chosen)
    lines = tuple(
        Line(subject, COLOURS[n % len(COLOURS)], tuple(_dot(of, p, drills, top) for p in chosen if p.subject == subject))
        for n, subject in enumerate(subjects)
    )
    return _chart(TITLES[of][0], _words(of, top), points, drills, lines=lines, keys=tuple((line.label, line.colour) for line in lines))


def _dot(of: str, point: Point, drills: Sequence[str], top: float) -> tuple[float, float, str]:
    return (
        _x(point.drill, drills),
        _y(point.value, top),
        f"{point.subject}: {_words(of, point.value)} ({point.drill}, {point.verdict.lower()})",
    )


def _phases(points: Sequence[Point], drills: Sequence[str]) -> Chart | None:
    chosen = [p for p in history.chosen(points, history.PHASE) if not p.subject.startswith("person")]
    names = [*timeline.PHASES, *sorted({p.subject for p in chosen} - set(timeline.PHASES))]
    used = [name for name in names if any(p.subject == name for p in chosen)]
    colours = {name: COLOURS[n % len(COLOURS)] for n, name in enumerate(used)}
    top = max((sum(p.value for p in chosen if p.drill == d) for d in drills), default=0.0)
    if not used or top <= 0:
        return None
    blocks = [
        b for d in drills for b in _column(d, [p for n in used for p in chosen if p.drill == d and p.subject == n], drills, top, colours)
    ]
    return _chart("Recovery by phase", wording.duration(top), points, drills, blocks=tuple(blocks), keys=tuple(colours.items()))


def _column(drill: str, phases: Iterable[Point], drills: Sequence[str], top: float, colours: dict[str, str]) -> Iterable[Block]:
    width = min(6.0, 70.0 / len(drills))
    reached = 0.0
    for phase in phases:
        height = 100 * phase.value / top
        title = f"{phase.subject}: {wording.duration(phase.value)} ({drill})"
        yield Block(_x(drill, drills) - width / 2, 100 - reached - height, width, height, colours[phase.subject], title)
        reached += height


def _chart(
    title: str,
    top: str,
    points: Sequence[Point],
    drills: Sequence[str],
    *,
    lines: tuple[Line, ...] = (),
    blocks: tuple[Block, ...] = (),
    keys: tuple[tuple[str, str], ...] = (),
) -> Chart:
    days = {p.drill: f"{p.at:%Y-%m-%d}" for p in points}
    return Chart(title, top, days[drills[0]], days[drills[-1]], lines, blocks, keys)


def _x(drill: str, drills: Sequence[str]) -> float:
    return round(5 + 90 * drills.index(drill) / max(1, len(drills) - 1), 3)


def _y(value: float, top: float) -> float:
    return round(100 - 100 * value / top, 3)


def _words(of: str, value: float) -> str:
    if of == history.SIZE:
        return wording.size(value)
    return f"{wording.size(value)}/s" if of == history.THROUGHPUT else wording.duration(value)
