"""Redis is short of memory and evicts keys, whoever they belong to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _redis
from drplatform.model import errors, ports, powers

LIMIT, POLICY = "maxmemory", "maxmemory-policy"


@dataclass(frozen=True)
class KeysEvicted:
    """Redis may use `bytes` of memory only (by default next to none) and evicts keys at random until it does."""

    store: str = "redis"
    bytes: int = 1

    kind = "keys-evicted"

    def affects(self) -> frozenset[str]:
        return frozenset({self.store})

    def needs(self) -> frozenset[str]:
        return frozenset({f"store:{self.store}", f"reached:{self.store}"})

    def aim(self, scene: ports.Scene) -> powers.Aim:
        return powers.Aim((self.store,), 1, destroys=True)

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        with _redis.primary(scene, self.store) as one:
            settings, run, keys = one.config_get(LIMIT, POLICY), one.info("server")["run_id"], one.dbsize()
            evicted = int(one.info("stats")["evicted_keys"])
        if not keys:
            raise errors.Inconclusive("Redis holds no key that could be evicted; write something first.")
        return {"settings": settings, "run": run, "evicted": evicted}

    def apply(self, scene: ports.Scene) -> None:
        with _redis.primary(scene, self.store) as one:
            one.config_set(POLICY, "allkeys-random")
            one.config_set(LIMIT, self.bytes)

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        with _redis.primary(scene, self.store) as one:
            evicted = int(one.info("stats")["evicted_keys"]) - before["evicted"]
        return ports.Receipt((self.store,) if evicted > 0 else (), f"the server counts {evicted} evicted keys")

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        """The settings of before, unless another server has taken its place. Evicted keys are the recovery's to bring back."""
        with _redis.primary(scene, self.store) as one:
            if one.info("server")["run_id"] == before["run"]:
                for name in (LIMIT, POLICY):
                    one.config_set(name, before["settings"][name])

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        with _redis.primary(scene, self.store) as one:
            another = one.info("server")["run_id"] != before["run"]
            return bool(another or one.config_get(LIMIT, POLICY) == before["settings"])


FAULT = KeysEvicted
