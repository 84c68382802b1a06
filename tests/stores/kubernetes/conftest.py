"""A real cluster, named by DRPLATFORM_TEST_KUBECONFIG; without it these tests are skipped. They work in namespaces of their own."""

import os
import secrets

import pytest
from cluster_objects import remove_namespace

from drplatform.model.ports import Endpoint
from drplatform.stores import kubernetes
from drplatform.stores.kubernetes.api import Cluster

VARIABLE, EMPTY = "DRPLATFORM_TEST_KUBECONFIG", "DRPLATFORM_TEST_KUBECONFIG_EMPTY"


@pytest.fixture(scope="session")
def kubeconfig():
    if not os.environ.get(VARIABLE):
        pytest.skip(f"needs a real cluster: set {VARIABLE} to its kubeconfig")
    return os.environ[VARIABLE]


@pytest.fixture(scope="session")
def empty_kubeconfig():
    """Of another cluster, which holds nothing; what a test brings there stays."""
    if not os.environ.get(EMPTY):
        pytest.skip(f"needs a second, empty cluster: set {EMPTY} to its kubeconfig")
    return os.environ[EMPTY]


@pytest.fixture(scope="session")
def cluster(kubeconfig, clock):
    made = Cluster(kubeconfig, "", clock)
    yield made
    made.close()


@pytest.fixture
def namespace(cluster, clock):
    """The name of a namespace that is not there yet; it and its copy are deleted with the test."""
    name = f"drplatform-test-{secrets.token_hex(4)}"
    yield name
    for one in (name, f"{name}-copy"):
        remove_namespace(cluster, clock, one, wait=False)


@pytest.fixture
def connect(kubeconfig, clock):
    """Makes stores of the cluster."""
    made = []

    def store(**options):
        made.append(kubernetes.connect(Endpoint("kubernetes", options={"kubeconfig": kubeconfig, **options}), clock))
        return made[-1]

    yield store
    for one in made:
        one.close()
