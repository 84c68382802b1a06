"""Builds the image of the servers from the recipe of the repository. See deploy/docker/Dockerfile."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from drplatform.model import errors
from drplatform.platforms.docker.engine import IMAGE

RECIPE = Path("deploy/docker/Dockerfile")
SECONDS_TO_BUILD = 3600


def command(context: Path, tag: str = IMAGE, base: str = "", network: str = "") -> list[str]:
    """The command line that builds it. Raises SettingsError when the recipe is not there."""
    if not (context / RECIPE).is_file():
        raise errors.SettingsError(f"There is no {RECIPE} below {context}; call this in a copy of the drplatform repository.")
    arguments = [*(["--build-arg", f"BASE={base}"] if base else []), *(["--network", network] if network else [])]
    return ["docker", "build", "--file", str(context / RECIPE), "--tag", tag, *arguments, str(context)]


def build(context: Path, environment: Mapping[str, str], tag: str = IMAGE, base: str = "", network: str = "") -> None:
    """Show the build as it goes. Raises SettingsError when it fails."""
    try:
        done = subprocess.run(command(context, tag, base, network), env=dict(environment), timeout=SECONDS_TO_BUILD, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise errors.SettingsError(f"The image could not be built ({error}); is the `docker` command there?") from error
    if done.returncode:
        raise errors.SettingsError(f"The image could not be built (exit code {done.returncode}); what Docker said stands above.")
