"""Wrong bytes in the append-only file of a Redis server."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drplatform.faults import _data_files


@dataclass(frozen=True)
class AofDamaged(_data_files.OnDataFiles):
    """A value in the append-only file of a Redis server has a wrong byte (or the file is cut short) after a crash: it may load silently."""

    store = "redis"
    kind = "aof-damaged"

    def file(self, disk: Path) -> Path:
        return _data_files.largest(list(disk.rglob("*.incr.aof")), "append-only file")

    def places(self, content: bytes) -> Sequence[int]:
        """The middle of the longest value: what frames the commands stays as it was."""
        values = [(int(m[1]), m.end()) for m in re.finditer(rb"\$(\d+)\r\n", content)]
        length, begin = max(values, default=(0, 0))
        return (begin + length // 2,) if length else ()


FAULT = AofDamaged
