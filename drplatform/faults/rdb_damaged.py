"""Wrong bytes in the snapshot of a Redis server."""

from dataclasses import dataclass
from pathlib import Path

from drplatform.faults import _data_files


@dataclass(frozen=True)
class RdbDamaged(_data_files.OnDataFiles):
    """The largest snapshot (RDB) of a Redis server has wrong bytes (or is cut short) after a crash of the server."""

    store = "redis"
    kind = "rdb-damaged"

    def file(self, disk: Path) -> Path:
        return _data_files.largest(list(disk.rglob("*.rdb")), "snapshot")


FAULT = RdbDamaged
