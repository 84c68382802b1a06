"""What differs between two states of a directory of configuration. Pure. Content may be secret, so it is told that it changed, not what it is."""

import contextlib
import re
from collections.abc import Iterable, Iterator

from drplatform.model.inspection import Change
from drplatform.stores.configuration.entry import FILE, Entry

HIDDEN = "(not shown)"
_SECRET = re.compile(rb"""["']?kind["']?\s*:\s*["']?Secret["']?\s*[,}\r\n]""")


def compare(before: Iterable[Entry], after: Iterable[Entry]) -> list[Change]:
    """Every difference, in order of paths."""
    old, new = {e.path: e for e in before}, {e.path: e for e in after}
    found = []
    for path in sorted(old.keys() | new.keys()):
        if path not in new:
            found.append(Change(path, "", "there", "gone"))
        elif path not in old:
            found.append(Change(path, "", "not there", "new"))
        else:
            found += _changes(old[path], new[path])
    return found


def _changes(old: Entry, new: Entry) -> Iterator[Change]:
    if old.kind != new.kind:
        yield Change(old.path, "kind", old.kind, new.kind)
    if old.mode != new.mode:
        yield Change(old.path, "mode", f"{old.mode:o}", f"{new.mode:o}")
    if old.target != new.target:
        yield Change(old.path, "target", old.target, new.target)
    if old.content != new.content:
        yield Change(old.path, "content", HIDDEN, HIDDEN)


def documents(entries: Iterable[Entry]) -> dict[str, str]:
    """Path -> text of the manifests that are text, but for those that hold a secret."""
    found = {}
    for entry in entries:
        if entry.section == "manifests" and entry.kind == FILE and not _SECRET.search(entry.content):
            with contextlib.suppress(UnicodeDecodeError):
                found[entry.path] = entry.content.decode()
    return found
