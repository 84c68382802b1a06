"""The Docker engine of this machine, found as testcontainers finds it, and what is ours on it, known by a label.

Everything is labelled with the platform's directory, so that a later run can clear what a killed one has left.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker.errors  # type: ignore[import-not-found, import-untyped, unused-ignore]
import docker.types  # type: ignore[import-not-found, import-untyped, unused-ignore]
import requests.exceptions

from drplatform.model import errors
from drplatform.platforms.embedded import skewing

LABEL = "drplatform.directory"
IMAGE = "drplatform-servers"
"""The image that `drplatform platform images build` makes."""
SECONDS = 60
FAILURES = (docker.errors.DockerException, requests.exceptions.RequestException, OSError)


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Whatever the engine's client raises becomes a StoreError that says what could not be done."""
    try:
        yield
    except FAILURES as error:
        raise errors.StoreError(f"Could not {what}: {str(getattr(error, 'explanation', '') or error)[:300]}") from error


@dataclass(frozen=True)
class Container:
    """What is started. `addresses`: network -> address there, the own one first; or `beside` a container, whose network it shares."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    platform: Path
    addresses: Mapping[str, str]
    beside: str = ""


class Engine:
    """A Docker engine. Safe for several threads."""

    def __init__(self, client: Any, image: str) -> None:
        self._client, self.image = client, image
        self._loads: dict[Path, bool] = {}

    # -- containers ------------------------------------------------------------------------------------------------------------------

    def run(self, wanted: Container) -> int:
        """Start a new container in place of one of the same name; the number of its process on this machine (0: it has ended already)."""
        self.remove(wanted.name)
        with doing(f"start the container {wanted.name}"):
            container = self._client.containers.create(
                self.image,
                list(wanted.command),
                name=wanted.name,
                environment=dict(wanted.environment),
                entrypoint=[],
                user=f"{os.getuid()}:{os.getgid()}",
                working_dir=str(wanted.directory),
                volumes={str(wanted.directory): {"bind": str(wanted.directory), "mode": "rw"}},
                labels={LABEL: str(wanted.platform)},
                **self._network_of(wanted),
            )
            for network, address in list(wanted.addresses.items())[1:]:
                self._client.networks.get(network).connect(container, ipv4_address=address)
            container.start()
            container.reload()
            return int(container.attrs["State"]["Pid"])

    def _network_of(self, wanted: Container) -> dict[str, Any]:
        if wanted.beside:
            return {"network_mode": f"container:{wanted.beside}"}
        network, address = next(iter(wanted.addresses.items()))
        return {"network": network, "networking_config": {network: docker.types.EndpointConfig("1.41", ipv4_address=address)}}

    def loads(self, library: Path, platform: Path) -> bool:
        """Whether programs of the image start with it. Asked once: an image does not change."""
        if library not in self._loads:
            with doing(f"start a program of the image {self.image} with {library}"):
                self._loads[library] = not self._said_with(library, platform)
        return self._loads[library]

    def _said_with(self, library: Path, platform: Path) -> bytes:
        """What a program complains of that does nothing; also when the image has no such program."""
        try:
            return bytes(
                self._client.containers.run(
                    self.image,
                    list(skewing.NOTHING),
                    entrypoint=[],
                    environment={skewing.PRELOAD: str(library)},
                    labels={LABEL: str(platform)},
                    network_mode="none",
                    remove=True,
                    stderr=True,
                )
            )
        except (docker.errors.APIError, docker.errors.ContainerError) as error:
            return str(error).encode()

    def signal(self, name: str, signal: str) -> None:
        """Nothing when it does not run. One that is paused is woken first: it could not die."""
        self.wake(name)
        with doing(f"send {signal} to the container {name}"):
            try:
                self._client.api.kill(name, signal)
            except docker.errors.APIError as error:
                if error.status_code not in (404, 409):
                    raise

    def pause(self, name: str) -> None:
        with doing(f"pause the container {name}"):
            self._client.api.pause(name)

    def wake(self, name: str) -> None:
        """Nothing when it is not paused."""
        if self.paused(name):
            with doing(f"wake the container {name}"):
                self._client.api.unpause(name)

    def paused(self, name: str) -> bool:
        return bool(self._state(name).get("Paused"))

    def logs(self, name: str) -> str:
        """The end of what it said."""
        with doing(f"read what the container {name} said"):
            try:
                return bytes(self._client.api.logs(name, tail=20)).decode(errors="replace")
            except docker.errors.NotFound:
                return ""

    def remove(self, name: str) -> None:
        """Whether it runs or not; nothing when it is not there."""
        with doing(f"remove the container {name}"):
            try:
                self._client.api.remove_container(name, force=True, v=True)
            except docker.errors.NotFound:
                pass
            except docker.errors.APIError as error:
                if error.status_code != 409:  # its removal is in progress already
                    raise

    def _state(self, name: str) -> Mapping[str, Any]:
        with doing(f"look at the container {name}"):
            try:
                found: Mapping[str, Any] = self._client.api.inspect_container(name)["State"]
                return found
            except docker.errors.NotFound:
                return {}

    # -- networks --------------------------------------------------------------------------------------------------------------------

    def make_network(self, name: str, subnet: str, platform: Path) -> bool:
        """Whether the subnet was free."""
        pool = docker.types.IPAMConfig(pool_configs=[docker.types.IPAMPool(subnet=subnet)])
        try:
            with doing(f"make the network {name}"):
                self._client.networks.create(name, driver="bridge", ipam=pool, labels={LABEL: str(platform)})
        except errors.StoreError as error:
            if "overlap" in str(error):
                return False
            raise
        return True

    def join(self, network: str, container: str, address: str) -> None:
        with doing(f"connect {container} to the network {network}"):
            self._client.networks.get(network).connect(container, ipv4_address=address)

    def leave(self, network: str, container: str) -> None:
        with doing(f"disconnect {container} from the network {network}"):
            self._client.networks.get(network).disconnect(container, force=True)

    def networks_of(self, container: str) -> frozenset[str]:
        """Those that a running container is on; empty when it does not run."""
        with doing(f"look at the networks of {container}"):
            try:
                found = self._client.api.inspect_container(container)
            except docker.errors.NotFound:
                return frozenset()
            return frozenset(found["NetworkSettings"]["Networks"]) if found["State"]["Running"] else frozenset()

    # -- all of it -------------------------------------------------------------------------------------------------------------------

    def platforms(self) -> frozenset[Path]:
        """The directories of all platforms that have something on this engine."""
        with doing("list the containers and networks of drplatform"):
            found = [c["Labels"][LABEL] for c in self._client.api.containers(all=True, filters={"label": LABEL})]
            found += [n["Labels"][LABEL] for n in self._client.api.networks(filters={"label": LABEL})]
            return frozenset(map(Path, found))

    def clear(self, platform: Path) -> None:
        """Remove all that is labelled with this platform."""
        label = {"label": f"{LABEL}={platform}"}
        with doing(f"list what is left of {platform}"):
            containers = [c["Id"] for c in self._client.api.containers(all=True, filters=label)]
            networks = [n["Id"] for n in self._client.api.networks(filters=label)]
        for container in containers:
            self.remove(container)
        for network in networks:
            with doing("remove a network"):
                try:
                    self._client.api.remove_network(network)
                except docker.errors.NotFound:
                    pass

    def close(self) -> None:
        self._client.close()


def connect(image: str = IMAGE) -> Engine:
    """Raises SettingsError when no engine answers, or the image is not there."""
    found = Engine(_client(), image)
    try:
        found._client.images.get(image)
    except docker.errors.ImageNotFound as error:
        raise errors.SettingsError(
            f"The Docker engine has no image {image!r}; make it with: drplatform platform images build (or set DRPLATFORM_IMAGE)."
        ) from error
    except FAILURES as error:
        raise errors.SettingsError(f"The Docker engine does not answer ({error}); start it, or set DOCKER_HOST.") from error
    return found


def find() -> Engine | None:
    """An engine to clear, if there is one."""
    try:
        return Engine(_client(), "")
    except errors.SettingsError:
        return None


def _client() -> Any:
    from testcontainers.core.docker_client import DockerClient  # imported late: it reads its settings when it is imported

    logging.getLogger("testcontainers").setLevel(logging.WARNING)
    try:
        client = DockerClient(timeout=SECONDS).client
        client.ping()
    except FAILURES as error:
        raise errors.SettingsError(f"No Docker engine answers here ({str(error)[:200]}); start it, or set DOCKER_HOST.") from error
    return client
