"""A person empties Redis: FLUSHALL."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _destroying, _redis
from drplatform.model import errors, ports, powers


@dataclass(frozen=True)
class RedisFlushed(_destroying.Destroying):
    """Redis is emptied by mistake (FLUSHALL); its replicas follow at once."""

    store: str = "redis"

    kind = "redis-flushed"

    def affects(self) -> frozenset[str]:
        return frozenset({self.store})

    def needs(self) -> frozenset[str]:
        return frozenset({f"store:{self.store}", f"reached:{self.store}"})

    def aim(self, scene: ports.Scene) -> powers.Aim:
        return powers.Aim((self.store,), 1, destroys=True)

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        with _redis.primary(scene, self.store) as one:
            keys, flushed = _redis.sample(one), _flushes(one)
        if not keys:
            raise errors.Inconclusive("Redis holds nothing that could be flushed; write something first.")
        return {"keys": keys, "flushed": flushed}

    def apply(self, scene: ports.Scene) -> None:
        with _redis.primary(scene, self.store) as one:
            one.flushall()

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        """Keys that were there are gone; clients may have made theirs anew at once, then the server's own count of commands tells."""
        with _redis.primary(scene, self.store) as one:
            left = one.exists(*(bytes.fromhex(key) for key in before["keys"]))
            flushed = _flushes(one) - before["flushed"]
        if left == len(before["keys"]) and flushed <= 0:
            return ports.Receipt((), f"all {left} keys are still there")
        return ports.Receipt((self.store,), f"{len(before['keys']) - left} of {len(before['keys'])} keys that were there are gone")


def _flushes(one: Any) -> int:
    return int(one.info("commandstats").get("cmdstat_flushall", {}).get("calls", 0))


FAULT = RedisFlushed
