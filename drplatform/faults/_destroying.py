"""What faults have in common that destroy data: nothing of it can be undone here, only a recovery brings it back.

Putting data back while healing would hide what a recovery has not brought back.
"""

from collections.abc import Mapping
from typing import Any

from drplatform.model import ports


class Destroying:
    """`heal` and `healed` of a fault that is over when it has been applied. `lasting`: only a recovery ends what it has done."""

    lasting = True

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        """Nothing can be undone: only the recovery brings the content back."""

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        return True
