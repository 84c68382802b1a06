"""Two regions and a vault as containers on networks of the Docker engine of this machine.

Built upon the embedded platform: the same servers with the same command lines form the same groups. What differs is here: a server is a
container with an address of its own, a region is a network, and a partition takes containers off a network. What is imported here is for the
outside; the rest is not.
"""

from drplatform.platforms.docker.engine import IMAGE
from drplatform.platforms.docker.images import build
from drplatform.platforms.docker.platform import DockerPlatform, sweep

__all__ = ["IMAGE", "DockerPlatform", "build", "sweep"]
