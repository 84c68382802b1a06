"""Two regions and a vault as real server processes on this machine. What is imported here is for the outside; the rest is not."""

from drplatform.platforms.embedded.by_hand import ServerStatus, Status, attach, down, statuses, up
from drplatform.platforms.embedded.lease import sweep
from drplatform.platforms.embedded.namespaced import NamespacedPlatform, hindered, refused
from drplatform.platforms.embedded.platform import EmbeddedPlatform
from drplatform.platforms.embedded.scratch import scratch

__all__ = [
    "EmbeddedPlatform",
    "NamespacedPlatform",
    "ServerStatus",
    "Status",
    "attach",
    "down",
    "hindered",
    "refused",
    "scratch",
    "statuses",
    "sweep",
    "up",
]
