"""Public names in Route 53 (its API by moto) and as Services of a real cluster."""

import os
import uuid

import boto3
import pytest
from moto import mock_aws
from real_servers import CLOCK

from drplatform.model import errors
from drplatform.model.ports import Address, Credentials, NameServer
from drplatform.model.secret import Secret
from drplatform.traffic import kubernetes as services
from drplatform.traffic import route53

HERE, THERE, BOTH = (Address("10.0.0.7", 4001),), (Address("10.0.0.8", 4002),), (Address("10.0.0.7", 1), Address("10.0.0.8", 1))


@pytest.fixture
def zone():
    with mock_aws():
        keys = {"region_name": "us-east-1", "aws_access_key_id": "a", "aws_secret_access_key": "b"}
        client = boto3.client("route53", **keys)
        client.create_hosted_zone(Name="drill.test.", CallerReference="1")
        yield NameServer("route53", Address("", 0), "drill.test", 3.0, Credentials("a", Secret("b")))


def test_a_name_in_route_53_points_where_it_was_told(zone):
    names = route53.connect(zone, CLOCK)
    for to in (HERE, BOTH, THERE, THERE):
        names.point("redis", to)
        assert names.lookup("redis").addresses == to and names.lookup("redis").ttl == 3.0


def test_route_53_without_the_zone_or_the_name_is_said(zone):
    import dataclasses

    with pytest.raises(errors.StoreError, match="was it ever set"):
        route53.connect(zone, CLOCK).lookup("mongodb")
    with pytest.raises(errors.SettingsError, match=r"0 hosted zones other\.test"):
        route53.connect(dataclasses.replace(zone, zone="other.test"), CLOCK)


@pytest.fixture
def namespace():
    kubeconfig = os.environ.get("DRPLATFORM_TEST_KUBECONFIG")
    if not kubeconfig:
        pytest.skip("needs a real cluster: set DRPLATFORM_TEST_KUBECONFIG to its kubeconfig")
    from kubernetes import client as k8s
    from kubernetes import config

    core, name = k8s.CoreV1Api(config.new_client_from_config(kubeconfig)), f"names-{uuid.uuid4().hex[:8]}"
    core.create_namespace({"metadata": {"name": name}})
    yield core, NameServer("kubernetes", Address("", 0), name, 3.0, None, {"kubeconfig": kubeconfig})
    core.delete_namespace(name)


def test_a_service_leads_where_it_was_told(namespace):
    core, server = namespace
    names = services.connect(server, CLOCK)
    for to in (HERE, BOTH, THERE, THERE):
        names.point("redis", to)
        assert names.lookup("redis").addresses == to
    made = core.read_namespaced_service("redis", server.zone)
    assert made.spec.selector is None and made.spec.ports[0].port == 4002


def test_a_service_of_somebody_else_is_left_alone(namespace):
    core, server = namespace
    core.create_namespaced_service(server.zone, {"metadata": {"name": "redis"}, "spec": {"selector": {"app": "x"}, "ports": [{"port": 1}]}})
    with pytest.raises(errors.StoreError, match="not ours"):
        services.connect(server, CLOCK).point("redis", HERE)
    assert core.read_namespaced_service("redis", server.zone).spec.selector == {"app": "x"}
