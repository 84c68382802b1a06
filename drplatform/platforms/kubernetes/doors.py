"""Where a cluster is entered from the other: which port of which node, proven by a real connection that ends in the right pod."""

from collections.abc import Callable

from drplatform.model import errors
from drplatform.platforms.embedded.process import Waits
from drplatform.platforms.kubernetes.site import GATEWAY, Site

SECONDS_TO_OPEN = 20.0
"""For a port of the nodes, after its service was made."""


def find(site: Site, who: str, pod: Callable[[str], object], waits: Waits) -> str:
    """A door of the site at which its own gateway answers. `pod` asks, as `who` would, for the uid of the pod behind a door.

    Raises SettingsError when there is none: nodes are not reached, or others are, of a network that has the same addresses.
    """
    own, doors, seen = site.pod(GATEWAY), site.doors(), dict[str, str]()

    def behind(door: str) -> bool:
        try:
            found = pod(door)
        except errors.StoreError as error:
            seen[door] = str(error)
            return False
        seen[door] = f"another pod answers, {found}"
        return bool(own) and found == own

    try:
        return waits.until("a door", lambda: next(filter(behind, doors), ""), within=SECONDS_TO_OPEN)
    except errors.DeadlineExceeded as error:
        told = "; ".join(f"{door}: {why}" for door, why in seen.items()) or "its nodes have no InternalIP"
        raise errors.SettingsError(
            f"The cluster of {site.name} is not reached by {who} ({told}). Pods of each cluster must reach the node ports of the other's nodes at "
            "their InternalIP; open that way, or drill in one cluster."
        ) from error
