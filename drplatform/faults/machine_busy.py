"""The machine of the servers is busy with something else: processors, memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.model import errors, ports, powers


@dataclass(frozen=True)
class MachineBusy:
    """Other processes keep `processors` of the machine busy and occupy `mebibytes` of its memory."""

    processors: int = 1
    mebibytes: int = 64

    kind = "machine-busy"

    def affects(self) -> frozenset[str]:
        """Users may notice slowness; the ledger tells whether anything was lost."""
        return frozenset()

    def needs(self) -> frozenset[str]:
        return frozenset({"pressure"})

    def aim(self, scene: ports.Scene) -> powers.Aim:
        return powers.Aim(("machine",), 1)

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        if self.processors < 0 or self.mebibytes < 0 or not self.processors + self.mebibytes:
            raise errors.SettingsError("A busy machine needs processors or mebibytes above zero; say how much.")
        return {"pressing": sorted(self._platform(scene).pressure())}

    def apply(self, scene: ports.Scene) -> None:
        self._platform(scene).press(self.processors, self.mebibytes)

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        found = [word for number, word in self._platform(scene).pressure().items() if number not in before["pressing"]]
        if found.count("processor") < self.processors or ("memory" not in found and self.mebibytes):
            return ports.Receipt((), f"{len(found)} processes press")
        return ports.Receipt(("machine",), f"{len(found)} processes press: {', '.join(found)}")

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        self._platform(scene).relieve()

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        return not self._platform(scene).pressure()

    def _platform(self, scene: ports.Scene) -> powers.Pressurable:
        assert isinstance(scene.platform, powers.Pressurable)  # the plan has made sure
        return scene.platform


FAULT = MachineBusy
