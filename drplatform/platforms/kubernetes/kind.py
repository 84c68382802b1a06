"""A cluster of two regions on this machine, by `kind`: what the machine must have for it, told before anything is made; then made, or removed.

Limits of inotify: kind.sigs.k8s.io, Known Issues, "Pod errors due to too many open files".
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import drplatform
from drplatform.model import errors

NAME = "drplatform"
CONFIG = Path(drplatform.__file__).parents[1] / "kind-config.yaml"
PROGRAMS = ("docker", "kind", "kubectl")
WATCHES, INSTANCES = 524_288, 512
MEMORY_MIB, DISK_MIB = 6 * 1024, 12 * 1024
"""For three nodes and the servers of a platform; and for the node image, the servers' image on three nodes, and the disks."""
SECONDS_TO_MAKE, SECONDS_TO_LOAD, SECONDS_TO_ASK = 900, 900, 30
Run = Callable[[Sequence[str], float], "subprocess.CompletedProcess[str]"]


@dataclass(frozen=True)
class Host:
    """What there is. Limits that cannot be read, and sizes that are not known, are None."""

    programs: frozenset[str]
    docker: str
    """What Docker says against being used; empty: it answers."""
    watches: int | None
    instances: int | None
    memory_mib: int | None
    disk_mib: int | None


def problems(host: Host) -> Iterator[str]:
    """Everything that speaks against a cluster on this machine, each with what to do about it."""
    for program in PROGRAMS:
        if program not in host.programs:
            yield f"`{program}` is not on PATH; install it"
    if "docker" in host.programs and host.docker:
        yield f"Docker does not answer ({host.docker}); start it"
    for name, found, wanted in (("max_user_watches", host.watches, WATCHES), ("max_user_instances", host.instances, INSTANCES)):
        if found is not None and found < wanted:
            yield f"fs.inotify.{name} is {found}, too few for several nodes; run: sudo sysctl fs.inotify.{name}={wanted}"
    for name, mib, needed in (("memory available", host.memory_mib, MEMORY_MIB), ("disk free for Docker", host.disk_mib, DISK_MIB)):
        if mib is not None and mib < needed:
            yield f"{mib} MiB of {name}, and {needed} MiB are needed; free some"


def look(environment: Mapping[str, str], run: Run, root: Path = Path("/")) -> Host:
    """What this machine has. `root` is where /proc and Docker's directory are looked for."""
    programs = frozenset(p for p in PROGRAMS if shutil.which(p, path=environment.get("PATH", "")))
    said, directory = _docker(run) if "docker" in programs else ("", root)
    return Host(
        programs=programs,
        docker=said,
        watches=_number(root / "proc/sys/fs/inotify/max_user_watches"),
        instances=_number(root / "proc/sys/fs/inotify/max_user_instances"),
        memory_mib=_available(root / "proc/meminfo"),
        disk_mib=shutil.disk_usage(directory).free // 2**20 if directory.exists() else None,
    )


def up(environment: Mapping[str, str], image: str, config: Path = CONFIG) -> str:
    """Make the cluster and bring the image of the servers into it; the context of the kubeconfig. Shows what kind says.

    Raises SettingsError with everything that speaks against it, before anything is made.
    """
    run = runner(environment)
    found = list(problems(look(environment, run)))
    if not config.is_file():
        found.append(f"there is no {config}; call this in a copy of the drplatform repository")
    if found:
        raise errors.SettingsError(f"No cluster can be made here: {'; '.join(found)}.")
    if run(["docker", "image", "inspect", image], SECONDS_TO_ASK).returncode:
        raise errors.SettingsError(
            f"Docker has no image {image!r} to bring into the cluster; make it with: drplatform platform images build"
        )
    _require(run(["kind", "create", "cluster", "--name", NAME, "--config", str(config), "--wait", "180s"], SECONDS_TO_MAKE), "made")
    _require(run(["kind", "load", "docker-image", image, "--name", NAME], SECONDS_TO_LOAD), "given the image")
    return f"kind-{NAME}"


def down(environment: Mapping[str, str]) -> None:
    """Remove the cluster; nothing when it is not there. Raises SettingsError."""
    _require(runner(environment)(["kind", "delete", "cluster", "--name", NAME], SECONDS_TO_MAKE), "removed")


def runner(environment: Mapping[str, str]) -> Run:
    """Runs commands with this environment. A command that is not there, or does not end, ends with a code and a sentence."""

    def run(command: Sequence[str], seconds: float) -> "subprocess.CompletedProcess[str]":
        try:
            return subprocess.run(command, env=dict(environment), capture_output=True, text=True, timeout=seconds, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return subprocess.CompletedProcess(command, 127, "", str(error))

    return run


def _require(done: "subprocess.CompletedProcess[str]", what: str) -> None:
    if done.returncode:
        raise errors.SettingsError(f"The cluster {NAME} could not be {what}: {' '.join(done.stderr.split())[-400:]}")


def _docker(run: Run) -> tuple[str, Path]:
    """What it says against being used, and where it keeps images."""
    done = run(["docker", "info", "--format", "{{.DockerRootDir}}"], SECONDS_TO_ASK)
    directory = done.stdout.strip()
    if done.returncode or not directory:
        return " ".join(done.stderr.split())[:200] or "no answer", Path("/")
    return "", Path(directory)


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _available(file: Path) -> int | None:
    try:
        line = next(line for line in file.read_text().splitlines() if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) // 1024
