"""What is deployed into a cluster, checked by the server's own validation and admission: nothing is left there but a namespace, and that goes."""

from pathlib import Path

import pytest
import yaml

import drplatform
from drplatform.cli import schedule as face
from drplatform.engine import schedule
from drplatform.environment import load_policy
from drplatform.model import clock as clocks
from drplatform.stores.kubernetes import applying
from drplatform.stores.kubernetes.api import Refusal
from drplatform.stores.kubernetes.resource import Resource

DEPLOY = Path(drplatform.__file__).parents[1] / "deploy/base"


@pytest.fixture
def space(cluster, clock, namespace):
    """As deploy/ makes it: pods that may do more than they must are refused."""
    (document,) = yaml.safe_load_all((DEPLOY / "namespace.yaml").read_text())
    document["metadata"]["name"] = namespace
    accounts = [d for d in yaml.safe_load_all((DEPLOY / "rbac.yaml").read_text()) if d["kind"] == "ServiceAccount"]
    assert applying.apply(cluster, [Resource(document), *(placed(d, namespace) for d in accounts)], clock).refused == {}
    return namespace


def rendered(policy):
    jobs = schedule.plan(load_policy(policy), face.takeable()).jobs
    return schedule.kubernetes(jobs, "drplatform:latest", "drplatform")


def deployed():
    names = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())["resources"]
    return [d for name in names for d in yaml.safe_load_all((DEPLOY / name).read_text()) if d["kind"] != "Namespace"]


def placed(document, namespace):
    inside = {"namespace": namespace} if "namespace" in document["metadata"] else {}
    return Resource({**document, "metadata": {**document["metadata"], **inside}})


def refusal(cluster, document, namespace):
    resource = placed(document, namespace)
    answer = cluster.apply(cluster.types().of(resource), resource, force=True, dry_run=True)
    return answer.why if isinstance(answer, Refusal) else ""


def pods(documents):
    """What the CronJobs and Deployments would start."""
    for document in documents:
        if document["kind"] in ("CronJob", "Deployment"):
            spec = document["spec"]
            template = spec["jobTemplate"]["spec"]["template"] if document["kind"] == "CronJob" else spec["template"]
            metadata = {"name": document["metadata"]["name"], "namespace": "", "labels": template["metadata"]["labels"]}
            yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"restartPolicy": "Always", **template["spec"]}}


@pytest.mark.parametrize("policy", [None, DEPLOY / "policy.yaml"], ids=["default", "deployed"])
def test_the_server_takes_every_job_that_is_rendered(cluster, space, clock, policy):
    documents = rendered(policy)
    assert {d["kind"] for d in documents} == {"CronJob", "Deployment", "PodDisruptionBudget"}
    assert [why for d in documents if (why := refusal(cluster, d, space))] == []
    started = list(pods(documents))
    assert len(started) == len([d for d in documents if d["kind"] != "PodDisruptionBudget"])
    clocks.wait_for(clock, "pods to be let in", lambda: not refusal(cluster, started[0], space), within=30, every=0.2)
    assert [why for pod in started if (why := refusal(cluster, pod, space))] == []


def test_the_server_takes_everything_that_is_deployed(cluster, space):
    documents = deployed()
    assert {"CronJob", "NetworkPolicy", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "PersistentVolumeClaim"} <= {
        d["kind"] for d in documents
    }
    assert [why for d in documents if (why := refusal(cluster, d, space))] == []


def test_what_is_wrong_is_refused(cluster, space):
    """The planted defects of the two above: a field that is not there, a schedule that is none, a pod that is root."""
    job = next(d for d in rendered(None) if d["kind"] == "CronJob")
    assert "concurrency" in refusal(cluster, {**job, "spec": {**job["spec"], "concurrency": "Forbid"}}, space)
    assert "schedule" in refusal(cluster, {**job, "spec": {**job["spec"], "schedule": "99 1 * * *"}}, space)
    pod = next(pods([job]))
    assert "runAsNonRoot" in refusal(cluster, {**pod, "spec": {**pod["spec"], "securityContext": {}}}, space)
