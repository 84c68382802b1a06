"""A server's clock that is wrong: libfaketime answers in the kernel's place when the server asks for the time of day.

Needs no root: the library comes from the package libfaketime, or from the system's. What asks the kernel without the C library, as programs
in Go do, cannot be fooled. Only the time of day is another; timers go on as before.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from drplatform.model import errors
from drplatform.platforms.embedded import binaries, layout

KINDS = frozenset({layout.MONGODB, layout.REDIS})
_PACKAGE = ("libfaketime", "libfaketime.so.1")
_SYSTEM = ("lib*/faketime/libfaketimeMT.so.1", "lib/*/faketime/libfaketimeMT.so.1")
"""Below /usr, as distributions install it."""
PRELOAD = "LD_PRELOAD"
NOTHING = ("/bin/sh", "-c", ":")
"""A program that says nothing, unless the loader has something to say."""


def library() -> Path | None:
    """The library, if there is one here that programs can be started with."""
    packaged = binaries.packaged(*_PACKAGE)
    found = [packaged] if packaged else []
    found += [path for pattern in _SYSTEM for path in sorted(Path("/usr").glob(pattern))]
    return next((path for path in found if _loads(path)), None)


def environment(seconds: float, found: Path | None) -> Mapping[str, str]:
    """What a server is started with so that its clock differs by so much. Raises SettingsError when the library is gone."""
    if found is None:
        raise errors.SettingsError(f"This server's clock was set wrong, and libfaketime is not there any more; {binaries.INSTALL}")
    return {PRELOAD: str(found), "FAKETIME": f"{seconds:+.3f}", "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DISABLE_SHM": "1"}


def _loads(path: Path) -> bool:
    """The loader says so when it cannot, and starts the program all the same."""
    done = subprocess.run(
        NOTHING, env={"PATH": os.defpath, PRELOAD: str(path)}, capture_output=True, timeout=binaries.SECONDS_TO_ANSWER, check=False
    )
    return done.returncode == 0 and not done.stderr
