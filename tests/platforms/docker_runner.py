"""A run of its own on Docker in a process that tests kill: enters a platform, says so, and waits for ever."""

import os
import sys
import threading
from pathlib import Path

from runner import Clock

from drplatform.platforms import docker

if __name__ == "__main__":
    with docker.DockerPlatform.open_engine(Clock(), Path(sys.argv[1]), os.environ, image=sys.argv[2]) as platform:
        print(platform.id, flush=True)
        threading.Event().wait()
