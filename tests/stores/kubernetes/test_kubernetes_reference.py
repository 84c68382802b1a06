"""Passwords that a configuration names as secrets of a cluster: read from there, and told by name alone when they are not there."""

import base64

import pytest
import yaml
from test_kubernetes_away import KUBECONFIG

from drplatform.environment import Environment, Settings, Where
from drplatform.model import errors
from drplatform.stores import kubernetes
from drplatform.stores.kubernetes.resource import Resource

CANARY = "canary-9b31 with\\signs"


def made(cluster, namespace, data):
    types = cluster.types()
    for document in (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": namespace}, "data": data},
    ):
        resource = Resource(document)
        cluster.apply(types.of(resource), resource, force=True)


def test_a_secret_of_the_cluster_is_read_and_what_is_missing_is_named(kubeconfig, cluster, namespace, clock):
    made(cluster, namespace, {"password": base64.b64encode(f"{CANARY}\n".encode()).decode(), "raw": base64.b64encode(b"\xff\xfe").decode()})
    read = lambda reference: kubernetes.secret(kubeconfig, "", reference, clock)  # noqa: E731
    assert read(f"{namespace}/db/password").reveal() == CANARY
    for reference, words in {
        f"{namespace}/other/password": "has no secret other",
        f"{namespace}/db/token": "has no key token; it has password, raw",
        f"{namespace}/db/raw": "is no text",
    }.items():
        with pytest.raises(errors.SettingsError, match=words) as refusal:
            read(reference)
        assert CANARY not in str(refusal.value)


def test_a_configuration_whose_cluster_is_away_says_which_secret_cannot_be_read(tmp_path, monkeypatch):
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    place = {"addresses": ["127.0.0.1:1"], "user": "backup", "password": {"kubernetes": "shop/db/password"}}
    config = tmp_path / "drplatform.yaml"
    config.write_text(yaml.safe_dump({"stores": {"redis": place}, "repository": {"directory": "vault"}}))
    env = Environment.open(Settings.read({"DRPLATFORM_KUBECONFIG": str(tmp_path / "kubeconfig"), "DRPLATFORM_STATE": str(tmp_path)}))
    (told,) = env.unresolved(Where(config=config))
    assert told.startswith("stores.redis: The secret shop/db of the cluster cannot be read.") and "does not answer" in told
    assert "canary" not in told
