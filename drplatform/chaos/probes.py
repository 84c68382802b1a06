"""Chaos Toolkit probes on the running drill."""

from chaoslib.types import Configuration

from drplatform.chaos import session

__all__ = ["answers", "verdict"]


def answers(store: str, configuration: Configuration = None) -> bool:
    """Whether users of the store read an old acknowledged write and have new ones acknowledged."""
    return session.of(configuration).drill.answers(store)


def verdict(configuration: Configuration = None) -> str:
    """PASSED, INCONCLUSIVE or FAILED; NOT YET JUDGED before the method has begun.

    In a steady-state hypothesis use the tolerance `drplatform.chaos.tolerances.passed`.
    """
    running = session.of(configuration)
    return running.judge() if running.begun else session.NOT_YET
