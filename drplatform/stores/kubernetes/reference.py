"""One value of one secret of a cluster, for settings that name it. Nothing else of the secret is kept."""

import base64
from urllib.parse import quote

from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.model.secret import Secret
from drplatform.stores.kubernetes.api import Cluster, Missing


def secret(kubeconfig: str, context: str, reference: str, clock: Clock) -> Secret:
    """The value that `reference` (NAMESPACE/NAME/KEY) names. Without a kubeconfig: asked for with the service account of the pod.

    Raises SettingsError that names the secret and never its content.
    """
    namespace, name, key = reference.split("/")
    cluster = Cluster(kubeconfig, context, clock)
    try:
        found = cluster.get(f"/api/v1/namespaces/{quote(namespace, safe='')}/secrets/{quote(name, safe='')}")
    except Missing:
        raise errors.SettingsError(f"The cluster has no secret {name} in the namespace {namespace}; make it, or name another.") from None
    except errors.StoreError as error:
        raise errors.SettingsError(f"The secret {namespace}/{name} of the cluster cannot be read. {error}") from None
    finally:
        cluster.close()
    data = found.get("data") or {}
    if key not in data:
        raise errors.SettingsError(f"The secret {namespace}/{name} has no key {key}; it has {', '.join(sorted(data)) or 'none'}.")
    try:
        return Secret(base64.b64decode(data[key]).decode().rstrip("\n"))
    except UnicodeDecodeError:
        raise errors.SettingsError(f"The key {key} of the secret {namespace}/{name} is no text.") from None
