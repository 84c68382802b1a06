"""Differences as values: what a store says of two of its backups, or of a backup and what is there now."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """One difference. `where` is a path in `subject`, empty for the subject as a whole; `before` and `after` are for people, without secrets."""

    subject: str
    where: str
    before: str
    after: str

    def __str__(self) -> str:
        place = f"{self.subject}: {self.where}" if self.where else self.subject
        return f"{place}: {self.before} -> {self.after}"

    def to_json(self) -> dict[str, str]:
        return dict(vars(self))
