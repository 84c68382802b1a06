"""Wrong bytes in the data files of a server: killed, damaged, started again, as a bad disk or a bad controller leaves them.

The damage is bytes of which each is told in the journal. A server that does not start with it is set right again when it is healed; one
that runs is left as it is, since its files have changed meanwhile, and is the recovery's.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drplatform.faults import _servers
from drplatform.model import errors, ports, powers, whole

FLIPPED, TRUNCATED = "flipped", "truncated"


@dataclass(frozen=True)
class OnDataFiles:
    """One server of the region. `how`: flipped (some bytes are others) or truncated (the second half of a file is gone)."""

    region: str = "primary"
    how: str = FLIPPED

    store = ""
    lasting = True

    def affects(self) -> frozenset[str]:
        return frozenset({self.store})

    def needs(self) -> frozenset[str]:
        return frozenset({f"killable:{self.region}", f"on-disk:{self.region}", f"store:{self.store}"})

    def aim(self, scene: ports.Scene) -> powers.Aim:
        return _servers.aim(scene, [self._server(scene)], destroys=True)

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        if self.how not in (FLIPPED, TRUNCATED):
            raise errors.SettingsError(f"Files can be {FLIPPED} or {TRUNCATED}, not {self.how!r}.")
        server = self._server(scene)
        if not server.running():
            raise errors.Inconclusive(f"{server.name} does not run, so damage of its files would show nothing; start it first.")
        return {"servers": [server.name], "disk": str(_disk(server)), "damage": str(self._note(scene))}

    def apply(self, scene: ports.Scene) -> None:
        """What is damaged is chosen when the server is down: files change until then. The file is kept aside, whole, before it is noted."""
        server = self._server(scene)
        assert isinstance(server, ports.Killable)
        server.kill()
        file = self.file(_disk(server))
        content = file.read_bytes()
        whole.write(self._note(scene).with_suffix(".aside"), content)
        whole.write(self._note(scene), f"{file}\n{len(content)}\n")
        file.write_bytes(self._damaged(content))
        with suppress(errors.StoreError, errors.DeadlineExceeded):
            server.start()  # that it refuses to is an effect, not an error

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        """The file as it is now, beside what it was. A server that runs may have changed it since, but not back."""
        noted, aside = Path(before["damage"]), Path(before["damage"]).with_suffix(".aside")
        if not noted.exists() or not aside.exists():
            return ports.Receipt((), "no file was damaged")
        file = Path(noted.read_text().splitlines()[0])
        if file.exists() and file.read_bytes() == aside.read_bytes():
            return ports.Receipt((), f"{file.name} is as it was")
        state = "runs with it" if self._server(scene).running() else "does not start with it"
        return ports.Receipt(tuple(before["servers"]), f"{file.name} is {self.how}, and its server {state}")

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        server, noted = self._server(scene), Path(before["damage"])
        aside = noted.with_suffix(".aside")
        if not server.running() and str(_disk(server)) == before["disk"]:
            if noted.exists() and aside.exists():
                Path(noted.read_text().splitlines()[0]).write_bytes(aside.read_bytes())
            server.start()
        for left in (aside, aside.with_name(f"{aside.name}.new"), noted, noted.with_name(f"{noted.name}.new")):
            left.unlink(missing_ok=True)

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        return self._server(scene).running() and not Path(before["damage"]).exists()

    def file(self, disk: Path) -> Path:
        """The file to damage. Raises Inconclusive when there is none."""
        raise NotImplementedError

    def places(self, content: bytes) -> Sequence[int]:
        """Offsets of the bytes to flip: every 4 KiB one, the first block spared."""
        return range(len(content) // 2 % 4096 + 4096, len(content), 4096) or range(len(content) // 2, len(content), 16)

    def _damaged(self, content: bytes) -> bytes:
        if self.how == TRUNCATED:
            return content[: len(content) // 2]
        changed = bytearray(content)
        for offset in self.places(content):
            changed[offset] ^= 0x55
        return bytes(changed)

    def _server(self, scene: ports.Scene) -> ports.Instance:
        return _servers.OnServers(self.region, (self.store,), 1).servers(scene)[0]

    def _note(self, scene: ports.Scene) -> Path:
        return scene.platform.directory / f"damage-{self.kind}-{self.region}"  # type: ignore[attr-defined]


def _disk(server: ports.Instance) -> Path:
    assert isinstance(server, powers.OnDisk)  # the plan has made sure
    return server.disk


def largest(files: Sequence[Path], words: str) -> Path:
    if not files:
        raise errors.Inconclusive(f"There is no {words} to damage; write something first.")
    return max(files, key=lambda f: (f.stat().st_size, f.name))
