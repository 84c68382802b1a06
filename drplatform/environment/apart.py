"""A restore in a process of its own, by the command line, so that it can be killed as any process can be."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import yaml

from drplatform.model import errors, ports
from drplatform.model.secret import Secret

COMMAND = (sys.executable, "-c", "from drplatform.cli import main; main()")
SECONDS_TO_DIE = 20.0


class RestoreApart:
    """`drplatform backups restore` of the latest backup into the store at an endpoint. Secrets go by the environment and a pipe."""

    def __init__(self, endpoint: ports.Endpoint, vault: ports.Endpoint | Path, identities: Sequence[Secret], directory: Path) -> None:
        directory.mkdir()  # never beside a run that is gone
        config, self._log = directory / "drplatform.yaml", directory / "log"
        places = {endpoint.kind: _place(endpoint, "STORE")}
        repository = {"directory": str(vault)} if isinstance(vault, Path) else {"s3": _place(vault, "VAULT")}
        config.write_text(yaml.safe_dump({"stores": places, "repository": repository}))
        secrets = _passwords({"STORE": endpoint, "VAULT": vault})
        variables = {"PATH": os.environ.get("PATH", ""), "DRPLATFORM_STATE": str(directory / "state"), **secrets}
        with _piped("".join(f"{each.reveal()}\n" for each in identities)) as identity, self._log.open("wb") as log:
            told = ["--config", str(config), "--identity", f"/dev/fd/{identity.fileno()}", "--yes"]
            self._process = subprocess.Popen(
                [*COMMAND, "backups", "restore", endpoint.kind, *told],
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(identity.fileno(),),
            )

    def running(self) -> bool:
        return self._process.poll() is None

    def hang(self) -> None:
        """SIGSTOP; see `hangs` for when it has been heard."""
        self._process.send_signal(signal.SIGSTOP)

    def hangs(self) -> bool:
        try:
            found = os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # it has ended, and was waited for
            return False
        return found is not None and found.si_code == os.CLD_STOPPED

    def kill(self) -> None:
        """SIGKILL. Raises StoreError when it does not die."""
        self._process.kill()
        try:
            self._process.wait(SECONDS_TO_DIE)
        except subprocess.TimeoutExpired as error:
            raise errors.StoreError(f"The process {self._process.pid} of a restore does not die; see what holds it.") from error

    def said(self) -> str:
        """The last that it said."""
        return " ".join(self._log.read_text(errors="replace").split())[-300:]


def _piped(text: str) -> IO[str]:
    """A file to read this from, which is on no disk. Short enough for a pipe to hold."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as pipe:
        pipe.write(text)
    return os.fdopen(reading, "r")


def _place(endpoint: ports.Endpoint, variable: str) -> dict[str, object]:
    place: dict[str, object] = {"addresses": [str(a) for a in endpoint.addresses], "options": dict(endpoint.options)}
    if endpoint.credentials:
        place |= {"user": endpoint.credentials.user, "password": {"env": variable}}
    return place


def _passwords(endpoints: Mapping[str, ports.Endpoint | Path]) -> dict[str, str]:
    named = {name: e.credentials for name, e in endpoints.items() if isinstance(e, ports.Endpoint)}
    return {name: credentials.password.reveal() for name, credentials in named.items() if credentials}
