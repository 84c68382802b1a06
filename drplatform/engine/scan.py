"""What a platform looks like to somebody who knows nothing of faults: taken before and after, the differences tell what was touched."""

from collections.abc import Mapping

from drplatform.model import errors, ports, powers

Look = Mapping[str, Mapping[str, str]]
"""By the name of a server (or `machine`), what is to be seen of it."""

PASSING = frozenset({"files"})
"""What changes by itself."""
STARTS = frozenset({"pid", "started"})
"""What differs after a restart, too."""


def look(platform: ports.Platform) -> Look:
    """Servers as the operating system shows them, the vault's with them, and what presses on the machine."""
    servers = [server for region in platform.regions for server in region.instances]
    if isinstance(platform, powers.Vaulted):
        servers.append(platform.vault_server)
    if isinstance(platform, powers.NameServed) and platform.name_server:
        servers.append(platform.name_server)
    found = {server.name: _of(server) for server in servers}
    if isinstance(platform, powers.Pressurable):
        found["machine"] = {str(number): word for number, word in platform.pressure().items()}
    return found


def touched(before: Look, after: Look) -> frozenset[str]:
    """The names of what is another than before, processes that were started again included."""
    return frozenset(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def left(before: Look, after: Look) -> dict[str, str]:
    """What healing has left behind: by name, what differs; that a server was started again is no difference."""
    settled = {name: {k: v for k, v in seen.items() if k not in STARTS} for name, seen in before.items()}
    now = {name: {k: v for k, v in seen.items() if k not in STARTS} for name, seen in after.items()}
    return {name: f"{settled.get(name)} is now {now.get(name)}" for name in touched(settled, now)}


def undeclared(before: Look, after: Look, aim: powers.Aim) -> frozenset[str]:
    """What was touched without having been declared."""
    return touched(before, after) - set(aim.targets)


def require_declared(before: Look, after: Look, aim: powers.Aim, fault: str) -> None:
    """Raises Inconclusive naming what the fault has touched beyond what it had declared."""
    if more := undeclared(before, after, aim):
        raise errors.Inconclusive(
            f"The fault {fault} was to touch {', '.join(aim.targets[:5])}, but {', '.join(sorted(more))} changed, too; the run proves nothing."
        )


def _of(server: ports.Instance) -> Mapping[str, str]:
    if isinstance(server, powers.Traceable):
        return {name: value for name, value in server.trace().items() if name not in PASSING}
    return {"process": "running" if server.running() else "absent"}
