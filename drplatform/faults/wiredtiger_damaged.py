"""Wrong bytes in the collection files of a MongoDB member."""

from dataclasses import dataclass
from pathlib import Path

from drplatform.faults import _data_files


@dataclass(frozen=True)
class WiredtigerDamaged(_data_files.OnDataFiles):
    """The largest collection file of a MongoDB member has wrong bytes (or is cut short) after a crash of the member."""

    store = "mongodb"
    kind = "wiredtiger-damaged"

    def file(self, disk: Path) -> Path:
        return _data_files.largest(list(disk.glob("collection-*.wt")), "collection file")


FAULT = WiredtigerDamaged
