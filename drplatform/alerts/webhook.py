"""Notices posted as JSON to a URL. The URL itself is a secret: those of chat services hold their key in the path."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping

from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.model.ports import Alerts, Notice
from drplatform.model.secret import Secret

OPTIONS = frozenset[str]()
ATTEMPTS, SECONDS, PAUSE = 3, 5.0, 1.0


def connect(options: Mapping[str, str], secrets: Mapping[str, Secret], clock: Clock) -> Alerts:
    """`secrets` holds `url`, and `token` when the receiver wants an Authorization header. Raises SettingsError."""
    if "url" not in secrets:
        raise errors.SettingsError("A webhook needs its url, named as {env: VARIABLE} or {file: PATH}.")
    if not secrets["url"].reveal().startswith(("https://", "http://")):
        raise errors.SettingsError("The url of the webhook is no http or https address.")
    return Webhook(secrets["url"], secrets.get("token"), clock)


class Webhook:
    def __init__(self, url: Secret, token: Secret | None, clock: Clock) -> None:
        self._url, self._token, self._clock = url, token, clock

    def send(self, notice: Notice) -> None:
        body = {
            "alert": notice.name,
            "subject": notice.subject,
            "severity": notice.severity,
            "state": notice.state,
            "text": f"[{notice.state}] {notice.name} ({notice.subject}): {notice.text}",
            "since": notice.since.isoformat(),
            "at": notice.at.isoformat(),
        }
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._post(json.dumps(body).encode())
                return
            except urllib.error.HTTPError as error:
                if error.code < 500 or attempt == ATTEMPTS:
                    raise errors.StoreError(f"The webhook refused a notice (HTTP {error.code}); check its url and token.") from None
            except OSError as error:
                if attempt == ATTEMPTS:
                    raise errors.StoreError(f"The webhook cannot be reached ({type(error).__name__}); check its url.") from None
            self._clock.wait(threading.Event(), PAUSE * attempt)

    def _post(self, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token.reveal()}"
        request = urllib.request.Request(self._url.reveal(), data=body, headers=headers, method="POST")
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # an http or https address, checked at the start
            answer.read(1)
