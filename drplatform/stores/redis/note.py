"""What a target carries in its own settings while it is restored: which restore is at it, and what these settings were before.

It is the name with which the target logs in to us (`masteruser`): there as long as the target follows a restore, and still there when the
process that restored is not. Holds no password.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass

from drplatform.model import errors
from drplatform.stores.redis import wire as wires
from drplatform.stores.redis.wire import Wire

NAME = "masteruser"
_BEGINNING = "drplatform-restore:"


@dataclass(frozen=True)
class Note:
    """`settings`: as they were, but for the password, of which only is known whether there was one (`had_password`)."""

    plan: str
    settings: Mapping[str, str]
    had_password: bool

    def text(self) -> str:
        document = json.dumps([self.plan, dict(self.settings), self.had_password])
        return _BEGINNING + base64.urlsafe_b64encode(document.encode()).decode()

    @classmethod
    def of(cls, text: str) -> "Note | None":
        """None when it is none of ours."""
        if not text.startswith(_BEGINNING):
            return None
        try:
            plan, settings, had_password = json.loads(base64.urlsafe_b64decode(text.removeprefix(_BEGINNING)))
            return cls(str(plan), {str(k): str(v) for k, v in settings.items()}, bool(had_password))
        except (ValueError, TypeError, AttributeError, binascii.Error):
            return None


def unfinished(admin: Wire) -> Note | None:
    """Of a restore that is at work here, or was cut off; None when the target follows none."""
    if wires.info(admin, "replication").get("role") != "slave":
        return None
    return Note.of(wires.setting(admin, NAME))


def take_away(admin: Wire, note: Note) -> None:
    """What a restore left that was cut off: afterwards the target is empty and has its settings. Raises TargetRefused when one is at work."""
    seen = wires.info(admin, "replication")
    if seen.get("master_link_status") == "up" or seen.get("master_sync_in_progress") == "1":
        raise errors.TargetRefused(f"A restore is at work on the target ({note.plan}); wait for its end.")
    admin.within(30).call("REPLICAOF", "NO", "ONE")
    admin.within(120).call("FLUSHALL")
    if wires.supports(admin, "FUNCTION"):
        admin.call("FUNCTION", "FLUSH")
    for name, value in {**note.settings, "masterauth": ""}.items():
        admin.call("CONFIG", "SET", name, value)
