"""From alerts to notices: each alert is told once when it begins, now and then while it lasts, and once when it is over. Remembers across restarts."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from drplatform.model import errors, ports
from drplatform.model.monitoring import Alert
from drplatform.model.ports import Notice

AGAIN = timedelta(hours=4)
FIRING, STILL, RESOLVED = "firing", "still firing", "resolved"


@dataclass(frozen=True)
class _Known:
    alert: Alert
    since: datetime
    told: datetime


class Alerting:
    """`file` keeps what fires. `failed` is told what could not be delivered; an undelivered notice is tried again at the next look."""

    def __init__(self, senders: Iterable[ports.Alerts], file: Path, failed: Callable[[str], object]) -> None:
        self._senders, self._file, self._failed = tuple(senders), file, failed
        self._known = self._read()

    @property
    def firing(self) -> tuple[Alert, ...]:
        return tuple(k.alert for k in self._known.values())

    def update(self, alerts: Iterable[Alert], now: datetime) -> tuple[Notice, ...]:
        """The notices that follow from what fires now; those that were delivered."""
        present = {alert.key: alert for alert in alerts}
        sent = [n for key, alert in present.items() if (n := self._tell(key, alert, now))]
        for key in [k for k in self._known if k not in present]:
            known = self._known[key]
            notice = _notice(known.alert, RESOLVED, known.since, now)
            if self._send(notice):
                del self._known[key]
                sent.append(notice)
        self._write()
        return tuple(sent)

    def _tell(self, key: str, alert: Alert, now: datetime) -> Notice | None:
        known = self._known.get(key)
        if known and now - known.told < AGAIN and known.alert.severity == alert.severity:
            self._known[key] = _Known(alert, known.since, known.told)
            return None
        notice = _notice(alert, STILL if known else FIRING, known.since if known else now, now)
        if not self._send(notice):
            return None
        self._known[key] = _Known(alert, notice.since, now)
        return notice

    def _send(self, notice: Notice) -> bool:
        """Delivered when one of the ways took it; with no way at all, everything is."""
        taken = not self._senders
        for sender in self._senders:
            try:
                sender.send(notice)
                taken = True
            except errors.StoreError as error:
                self._failed(str(error))
        return taken

    def _read(self) -> dict[str, _Known]:
        try:
            return {key: _known(item) for key, item in json.loads(self._file.read_text()).items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # told again is better than never told
            return {}

    def _write(self) -> None:
        content = {
            key: {"alert": vars(k.alert), "since": k.since.isoformat(), "told": k.told.isoformat()} for key, k in self._known.items()
        }
        fresh = self._file.with_suffix(".new")
        fresh.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps(content))
        fresh.replace(self._file)


def _known(item: Mapping[str, Any]) -> _Known:
    return _Known(Alert(**item["alert"]), datetime.fromisoformat(item["since"]), datetime.fromisoformat(item["told"]))


def _notice(alert: Alert, state: str, since: datetime, now: datetime) -> Notice:
    return Notice(alert.name, alert.subject, alert.severity, alert.text, state, since, now)
