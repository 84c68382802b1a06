"""Numbers, times and verdicts as people read them. Knows no evidence and no format."""

import math
from datetime import UTC, datetime

UNKNOWN = "not measured"

SIGNS = {"PASSED": "✓", "FAILED": "✗", "INCONCLUSIVE": "?", "SKIPPED": "–"}

HEADLINES = {
    "PASSED": "The recovery was proven: every target was met.",
    "FAILED": "The recovery did not do what it must.",
    "INCONCLUSIVE": "This run proves nothing, in either direction.",
}

CAVEATS = {
    "embedded": "The platform `embedded` is real servers of the products named in each record, all on one machine, with data of its own: it shows "
    "that the procedures recover everything, not how long they take with production's data on production's network.",
}
"""What a reader must know of a platform to read its evidence rightly."""

_HOUR, _DAY = 3600, 86400
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def known(value: object) -> float | None:
    """The value as a finite number, or None for anything that is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def duration(value: object) -> str:
    """Seconds as `0.38 s`, `12.4 s`, `5 min 3 s`, `1 h`, `30 d`; `not measured` for what is no number."""
    seconds = known(value)
    if seconds is None:
        return UNKNOWN
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < 0.1:
        return f"{round(seconds * 1000, 1):g} ms" if seconds else "0 s"
    if round(seconds, 1) < 60:
        return f"{round(seconds, 2 if seconds < 10 else 1):g} s"
    return _long(round(seconds))


def _long(seconds: int) -> str:
    if seconds < _HOUR:
        parts = ((seconds // 60, "min"), (seconds % 60, "s"))
    elif seconds < 2 * _DAY:
        parts = ((seconds // _HOUR, "h"), (seconds % _HOUR // 60, "min"))
    else:
        parts = ((seconds // _DAY, "d"), (seconds % _DAY // _HOUR, "h"))
    return " ".join(f"{amount} {unit}" for amount, unit in parts if amount)


def bounds(lower: object, upper: object) -> str:
    """An interval of seconds, rounded outwards so that it still holds the true value: `12.38 to 12.42 s`."""
    low, high = known(lower), known(upper)
    if low is None or high is None:
        return UNKNOWN
    if low == high:
        return duration(low)
    if high >= 60:
        return f"{at_least(low)} to {at_most(high)}"
    digits = min(3, max(1, 1 - math.floor(math.log10(high - low))))
    return f"{floor(low, digits) if low else '0'} to {ceiling(high, digits)} s"


def floor(value: float, digits: int) -> str:
    """Rounded down; what is within a millionth of a digit counts as that digit."""
    return f"{math.floor(value * 10**digits + 1e-6) / 10**digits:.{digits}f}"


def ceiling(value: float, digits: int) -> str:
    """Rounded up; what is within a millionth of a digit counts as that digit."""
    return f"{math.ceil(value * 10**digits - 1e-6) / 10**digits:.{digits}f}"


def at_most(value: object) -> str:
    """An upper bound, rounded up: `12.5 s`, `5 min 4 s`."""
    seconds = known(value)
    return duration(seconds) if seconds is None else duration(math.ceil(round(seconds / _step(seconds), 6)) * _step(seconds))


def at_least(value: object) -> str:
    """A lower bound, rounded down."""
    seconds = known(value)
    return duration(seconds) if seconds is None else duration(math.floor(round(seconds / _step(seconds), 6)) * _step(seconds))


def _step(seconds: float) -> float:
    """How finely `duration` tells times of about this many seconds."""
    return 0.0001 if seconds < 0.1 else 0.01 if seconds < 10 else 0.1 if seconds < 60 else 1.0 if seconds < _HOUR else 60.0


def share(value: object, target: object) -> str:
    """A value as a part of its target: `0.35 %`. Empty when either is not known."""
    part, whole = known(value), known(target)
    if part is None or not whole:
        return ""
    percent = 100 * part / whole
    if percent == 0:
        return "0 %"
    return "under 0.01 %" if percent < 0.01 else f"{percent:.2g} %" if percent < 10 else f"{percent:,.0f} %"


def count(value: object) -> str:
    """A whole number with thousands apart: `12,345`; a dash when there is none."""
    number = known(value)
    return "–" if number is None else f"{number:,.0f}"


def counted(value: object, noun: str, plural: str = "") -> str:
    """`1 write`, `12,345 writes`."""
    return f"{count(value)} {noun if known(value) == 1 else plural or noun + 's'}"


def size(value: object) -> str:
    """Bytes as `512 B`, `28.4 MiB`; a dash when there is none."""
    number = known(value)
    if number is None:
        return "–"
    power = min(len(_SIZES) - 1, int(math.log2(number) // 10)) if number >= 1 else 0
    scaled = number / 1024**power
    return f"{scaled:.0f} B" if power == 0 else f"{scaled:.3g} {_SIZES[power]}" if scaled < 1000 else f"{scaled:.0f} {_SIZES[power]}"


def moment(value: object, *, precise: bool = False) -> str:
    """An ISO 8601 stamp as `2026-11-23 14:10:54 UTC`; text that is no stamp as it is."""
    try:
        stamp = datetime.fromisoformat(str(value))
    except ValueError:
        return str(value)
    utc = stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp.astimezone(UTC)
    if precise:
        return f"{utc:%H:%M:%S}.{utc.microsecond // 1000:03d}"
    return f"{utc:%Y-%m-%d %H:%M:%S} UTC"


def elapsed(value: object) -> str:
    """Seconds since the drill began, for tables: `12.345 s`; a dash when there are none."""
    seconds = known(value)
    return "–" if seconds is None else f"{seconds:,.3f} s"
