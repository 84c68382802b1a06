"""Limits on what a running server may use: set, seen in what the kernel shows, set back."""

from collections.abc import Mapping
from typing import Any

from drplatform.faults import _servers
from drplatform.model import ports, powers

UNLIMITED = "unlimited"


def capture(servers: list[ports.Instance], resource: str) -> Mapping[str, Any]:
    traces = {s.name: _servers.trace(s) for s in servers if s.running()}
    return {
        "servers": list(traces),
        "limits": {name: trace[resource] for name, trace in traces.items()},
        "started": {name: trace["started"] for name, trace in traces.items()},
    }


def confirm(servers: list[ports.Instance], before: Mapping[str, Any], resource: str, seen: str) -> ports.Receipt:
    """Limited, or ended by it."""
    traces = {s.name: _servers.trace(s) for s in servers}
    hurt = [n for n, t in traces.items() if t["process"] == "absent" or t[resource] != before["limits"].get(n)]
    return _servers.receipt(before["servers"], hurt, seen)


def heal(servers: list[ports.Instance], before: Mapping[str, Any], resource: str) -> None:
    """Processes that are still the limited ones get their limit back; those that ended start again."""
    for server in servers:
        assert isinstance(server, powers.Limited)
        if server.name in before["servers"] and _servers.trace(server).get("started") == before["started"][server.name]:
            was = before["limits"][server.name]
            server.limit(resource, None if was == UNLIMITED else int(was))
    _servers.start_again(servers, before)


def healed(servers: list[ports.Instance], before: Mapping[str, Any], resource: str) -> bool:
    traces = {s.name: _servers.trace(s) for s in servers if s.name in before["servers"]}
    return all(
        t["process"] == "running" and (t["started"] != before["started"][n] or t[resource] == before["limits"][n])
        for n, t in traces.items()
    )
