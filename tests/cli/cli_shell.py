"""The command line end to end, in a home of its own, on a platform brought up by hand."""

import contextlib
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drplatform import cli
from drplatform.environment import Environment, Settings


class Shell:
    """The command line, in a home of its own, with nobody at the keyboard."""

    def __init__(self, home: Path) -> None:
        self.home, self.vault = home, home / "vault"
        self.variables = {"DRPLATFORM_STATE": str(home / "state"), "DRPLATFORM_SCRATCH": str(home / "scratch")}

    def __call__(self, *arguments: object, code: int = 0) -> str:
        """What the command said on its output, or, when it is expected to fail, also on standard error."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            for name, value in self.variables.items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdin", io.StringIO())
            returned = cli.run([str(a) for a in arguments])
        assert returned == code, err.getvalue() + out.getvalue()
        assert "Traceback" not in err.getvalue()
        return err.getvalue() + out.getvalue() if code else out.getvalue()

    def backups(self, command: str, *arguments: object, code: int = 0) -> str:
        return self("backups", command, *arguments, "--repository", self.vault, code=code)

    def digests(self) -> dict:
        return {name: store.digest() for name, store in self.stores().items()}

    def stores(self) -> dict:
        env = Environment.open(Settings.read(self.variables))
        return env.stores(env.attached(None))

    def objects(self) -> list[Path]:
        return [p for p in self.vault.rglob("*") if p.is_file()]


@contextlib.contextmanager
def opened(home: Path) -> Iterator[Shell]:
    """With a key of its own; whatever platform is up at the end is taken down, and has left nothing."""
    made = Shell(home)
    made("keys", "generate")
    yield made
    for platform in json.loads(made("platform", "status", "--json")):
        made("platform", "down", platform["id"])
    assert not [p for p in (made.home / "scratch").glob("drplatform-*/*") if p.name != ".lock"]
