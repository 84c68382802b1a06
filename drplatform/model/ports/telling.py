"""Who is told: reports of drills, and alerts."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from drplatform.model.evidence import Evidence


class Report(Protocol):
    def write(self, evidence: Evidence, directory: Path) -> Path:
        """Write the report below `directory` and return the file that a person opens."""


@dataclass(frozen=True)
class Notice:
    """What people are told of an alert: that it fires, fires still, or is over. `since` and `at` in UTC."""

    name: str
    subject: str
    severity: str
    text: str
    state: str
    since: datetime
    at: datetime


class Alerts(Protocol):
    """Where notices go."""

    def send(self, notice: Notice) -> None:
        """Bounded in time and in repeats. Raises StoreError when it could not be delivered."""
