"""No cluster, or none that can be asked: one sentence, and nothing of a login in it."""

import pytest

from drplatform.model import errors
from drplatform.model.ports import Endpoint
from drplatform.stores import kubernetes

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: canary-token-71d2}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
"""


def store(clock, **options):
    return kubernetes.connect(Endpoint("kubernetes", options=options), clock)


def test_a_cluster_that_does_not_answer_is_an_error_of_the_store(tmp_path, clock):
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    found = store(clock, kubeconfig=str(tmp_path / "kubeconfig"))
    for act in (found.identity, found.position, found.occupants, found.digest, found.validate):
        with pytest.raises(errors.StoreError, match="does not answer") as refusal:
            act()
        assert "canary" not in repr(refusal.value) and refusal.value.__cause__ is None


@pytest.mark.parametrize("content", ["", "a: [", "{}", KUBECONFIG.replace("current-context: c", "current-context: other")])
def test_a_kubeconfig_that_leads_nowhere_is_refused(tmp_path, clock, content):
    (tmp_path / "kubeconfig").write_text(content)
    with pytest.raises(errors.SettingsError, match="kubeconfig"):
        store(clock, kubeconfig=str(tmp_path / "kubeconfig")).identity()


def test_without_a_kubeconfig_and_outside_a_pod(clock, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(errors.SettingsError, match="service account"):
        store(clock).identity()


def test_which_cluster_it_is_can_be_told_without_asking_it(tmp_path, clock):
    (tmp_path / "kubeconfig").write_text(KUBECONFIG.replace("https://127.0.0.1:1", "https://api.example.org:6443/path"))
    assert store(clock, kubeconfig=str(tmp_path / "kubeconfig")).places() == (("c", "api.example.org"),)
    assert store(clock, kubeconfig=str(tmp_path / "kubeconfig"), context="c").places() == (("c", "api.example.org"),)


def test_a_wrong_mapping_is_refused_at_once(clock):
    with pytest.raises(errors.SettingsError):
        store(clock, map="a")
