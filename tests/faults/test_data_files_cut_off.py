"""Damage of data files whose runner dies in the middle: healing gives the file back as it was, from a copy that is whole, and leaves nothing."""

from types import SimpleNamespace

import pytest

from drplatform.faults._data_files import OnDataFiles
from drplatform.model import whole

CONTENT = bytes(range(256)) * 64


class Died(BaseException):
    """Stands for kill -9: nothing of the fault's own catches it."""


class Server:
    name = "redis-primary-1"

    def __init__(self, disk):
        self.disk, self.up = disk, True

    def running(self):
        return self.up

    def start(self):
        self.up = True

    def kill(self):
        self.up = False

    def stop(self):
        self.up = False

    def signal_kill(self):
        self.up = False


@pytest.fixture
def fault(tmp_path):
    server = Server(tmp_path / "disk")
    server.disk.mkdir()
    (server.disk / "dump.rdb").write_bytes(CONTENT)

    class OfOne(OnDataFiles):
        kind = "redis"
        store = "redis"

        def file(self, disk):
            return disk / "dump.rdb"

        def _server(self, scene):
            return server

    return OfOne()


@pytest.mark.parametrize("steps_done", [0, 1, 2])
@pytest.mark.parametrize("written", [0, 0.5, 1])
def test_a_runner_that_dies_while_it_keeps_the_file(fault, tmp_path, monkeypatch, steps_done, written):
    """It dies in the so-many-th write, with this share of it on the disk (steps_done 2: it lives, and the file is damaged)."""
    scene = SimpleNamespace(platform=SimpleNamespace(directory=tmp_path))
    before = fault.capture(scene)
    kept, done = whole.write, []

    def dying(path, content):
        if len(done) == steps_done:
            path.with_name(f"{path.name}.new").write_bytes(
                content.encode()[:1] if isinstance(content, str) else content[: int(written * len(content))]
            )
            raise Died
        done.append(path)
        kept(path, content)

    monkeypatch.setattr(whole, "write", dying)
    try:
        fault.apply(scene)
    except Died:
        assert steps_done < 2
    else:
        assert steps_done == 2
        assert (tmp_path / "disk" / "dump.rdb").read_bytes() != CONTENT
        fault._server(scene).kill()
    fault.heal(scene, before)
    assert fault.healed(scene, before)
    assert (tmp_path / "disk" / "dump.rdb").read_bytes() == CONTENT
    assert [p.name for p in tmp_path.iterdir()] == ["disk"]
