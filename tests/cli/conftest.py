"""The command line in a home of its own: state, scratch and working directory are private to the test."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from drplatform import cli


@dataclass(frozen=True)
class Told:
    """What one command line said."""

    code: int
    out: str
    err: str


class Home:
    """A directory in which commands are run; `tree()` is everything in it, to see what a command has touched."""

    def __init__(self, directory: Path, capfd) -> None:
        self.directory, self._capfd = directory, capfd
        self.state, self.scratch = directory / "state", directory / "scratch"

    def __call__(self, *arguments: object) -> Told:
        self._capfd.readouterr()
        code = cli.run([str(a) for a in arguments])
        return Told(code, *self._capfd.readouterr())

    def tree(self) -> dict[str, bytes]:
        found = (p for p in self.directory.rglob("*") if p not in (self.state, self.state / "audit.lock"))  # a lock says nothing
        return {str(p.relative_to(self.directory)): p.read_bytes() if p.is_file() else b"" for p in found}

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.directory / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path


@pytest.fixture
def home(tmp_path, monkeypatch, capfd):
    made = Home(tmp_path / "home", capfd)
    made.directory.mkdir()
    monkeypatch.chdir(made.directory)
    monkeypatch.setenv("DRPLATFORM_STATE", str(made.state))
    monkeypatch.setenv("DRPLATFORM_SCRATCH", str(made.scratch))
    return made
