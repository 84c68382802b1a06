"""Chaos Toolkit tolerances."""

from drplatform.chaos import session
from drplatform.model.verdict import Verdict

__all__ = ["passed"]


def passed(value: str) -> bool:
    """Tolerates the verdict PASSED, and that there is none yet before the method."""
    return value in (Verdict.PASSED.name, session.NOT_YET)
