"""Actions of chaostoolkit-kubernetes, by which a cluster is hurt: each order of them is done by a process of its own.

    python -m drplatform.platforms.kubernetes.actions        (an order, as JSON, on its standard input)

The extension finds its cluster in the environment of its process, and for the whole of that process verifies no certificate unless
KUBERNETES_VERIFY_SSL is set. So it gets one that lives for one order: with verification, and a kubeconfig that holds the chosen context alone.

What serves: `terminate_pods`, by name within one namespace, without grace; `cordon_node`, by name. What does not is `drain_nodes`: it evicts the pods of
everybody on a node, ends at the first pod that nobody manages, and stops when a budget forbids one, after some have gone. A drain of
ours evicts the pods of one platform (see `Cluster.evict`). `uncordon_node` would leave our note on the node: see `Cluster.open_node`.
Whether anything happened is never taken from an action's word: faults look for themselves.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drplatform.model import errors

SECONDS = 120.0
"""For one order. It includes the start of the process, which takes seconds on a busy machine."""
WORDS = 400
_NOT_PASSED_ON = ("KUBECONFIG", "KUBERNETES_CONTEXT", "KUBERNETES_DEBUG", "CHAOSTOOLKIT_IN_POD", "HTTP_PROXY", "http_proxy")
"""They would choose another cluster, print what is sent there, or (HTTP_PROXY) take another way to it than kubectl does."""


@dataclass(frozen=True)
class Action:
    """`module` within chaosk8s, the name of the action there, and its arguments."""

    module: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


def terminate_pods(namespace: str, pods: Sequence[str]) -> Action:
    """These pods of the namespace die at once, also when their node does not answer."""
    exactly = f"^(?:{'|'.join(map(re.escape, pods))})$"
    return Action("pod", "terminate_pods", {"name_pattern": exactly, "all": True, "ns": namespace, "grace_period": 0})


def cordon(node: str) -> Action:
    """The node takes no new pods."""
    if not node:
        raise ValueError("without a name the action would cordon every node")
    return Action("node", "cordon_node", {"name": node})


def act(actions: Sequence[Action], kubeconfig: str, environment: Mapping[str, str], directory: Path, seconds: float = SECONDS) -> None:
    """Do these, one after the other, in a process that ends with them.

    `kubeconfig` is its text; empty: the pod's own account. It lies in a directory of its own, which only its owner may read, below
    `directory` while the process runs. Raises StoreError with what the first that failed said.
    """
    own = Path(tempfile.mkdtemp(dir=directory, prefix="chaos-"))  # mode 0700
    try:
        answer = _answer(actions, _environment(own, kubeconfig, environment), seconds)
    finally:
        shutil.rmtree(own)
    if error := answer.get("error"):
        raise errors.StoreError(f"{answer['action']} of chaostoolkit-kubernetes failed: {error}")


def _environment(own: Path, kubeconfig: str, environment: Mapping[str, str]) -> dict[str, str]:
    """That of the process. What it writes of keys by itself goes where the kubeconfig is, too."""
    kept = {name: value for name, value in environment.items() if name not in _NOT_PASSED_ON}
    root = str(Path(__file__).parents[3])
    told = {"KUBECONFIG": str(own / "config"), "KUBERNETES_VERIFY_SSL": "true", "TMPDIR": str(own), "PYTHONPATH": root}
    if not kubeconfig:
        return {**kept, **told, "CHAOSTOOLKIT_IN_POD": "true"}
    file = own / "config"
    file.touch(mode=0o600)
    file.write_text(kubeconfig)
    return {**kept, **told}


def _answer(actions: Sequence[Action], environment: Mapping[str, str], seconds: float) -> Mapping[str, Any]:
    order = json.dumps([[a.module, a.name, dict(a.arguments)] for a in actions])
    command, names = [sys.executable, "-m", __name__], ", ".join(a.name for a in actions)
    try:
        done = subprocess.run(command, input=order, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
        found: Mapping[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired as error:
        raise errors.StoreError(f"{names} of chaostoolkit-kubernetes did not end within {seconds:g} s; look at the cluster.") from error
    except ValueError as error:
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1][:WORDS]
        raise errors.StoreError(f"{names} of chaostoolkit-kubernetes did not run; it said: {last}") from error
    return found


# -- in the process ------------------------------------------------------------------------------------------------------------------


def perform(order: Sequence[tuple[str, str, Mapping[str, Any]]], find: Callable[[str, str], Callable[..., Any]]) -> Mapping[str, Any]:
    """What there is to say when all was done, or the first did not work."""
    for module, name, arguments in order:
        try:
            find(module, name)(**arguments)
        except Exception as error:  # noqa: BLE001  the body of a process: told to whoever began it
            return {"action": name, "error": words(error)}
    return {"error": ""}


def words(error: Exception) -> str:
    """What the API server says, where it does; else what the client says."""
    body = getattr(error, "body", None)
    try:
        told = str(json.loads(body)["message"]) if body else str(error)
    except (ValueError, LookupError, TypeError):
        told = str(error)
    return " ".join(f"{type(error).__name__}: {told}".split())[:WORDS]


def _of_extension(module: str, name: str) -> Callable[..., Any]:
    import importlib

    found: Callable[..., Any] = getattr(importlib.import_module(f"chaosk8s.{module}.actions"), name)
    return found


def _main() -> None:
    sys.stdout.write(json.dumps(perform(json.load(sys.stdin), _of_extension)))


if __name__ == "__main__":
    _main()
