"""A server that is an object: what the memory platform hands out, and the memory store keeps its content in. For tests of the engine."""

import threading
from dataclasses import dataclass, field
from typing import Any


@dataclass
class MemoryServer:
    """`alive`: answers. `generation` grows whenever its content is lost, so that a client can tell a new server from the old.

    `data` and `log` are the store's to shape. Hold `lock` while reading or changing any of it.
    """

    alive: bool = True
    generation: int = 1
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)
    data: dict[str, Any] = field(default_factory=dict)
    log: list[Any] = field(default_factory=list)

    def lose(self) -> None:
        """Lose all content: what follows is another server."""
        with self.lock:
            self.generation += 1
            self.data.clear()
            self.log.clear()
