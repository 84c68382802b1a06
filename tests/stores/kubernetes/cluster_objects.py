"""Single objects of the cluster under test, for setting a scene."""

from drplatform.model import clock as clocks
from drplatform.stores.kubernetes.resource import Resource


def space(name):
    return Resource({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def remove(cluster, resource):
    """Delete one object, if it is there."""
    type_ = cluster.types().of(resource)
    if type_ and cluster.exists(type_, resource):
        cluster.delete(type_, resource)


def remove_namespace(cluster, clock, name, wait=True):
    remove(cluster, space(name))
    if wait:
        type_ = cluster.types().of(space(name))
        clocks.wait_for(clock, f"{name} to go", lambda: cluster.exists(type_, space(name)) is None, within=120, every=0.2)
