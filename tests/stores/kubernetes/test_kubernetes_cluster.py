"""A real API server: what goes out comes back, twice the same, also after a restore that was cut off; what is refused is told."""

import random

import pytest
import yaml
from cluster_objects import remove, remove_namespace, space
from kubernetes.client import ApiException

from drplatform.engine import backups
from drplatform.engine.backups import reading
from drplatform.model import clock as clocks
from drplatform.model import errors
from drplatform.model.backup import BackupKind
from drplatform.repositories.memory import MemoryRepository
from drplatform.stores.kubernetes import applying, difference, dump, inventory, resource, seed
from drplatform.stores.kubernetes.api import FIELD_MANAGER
from drplatform.stores.kubernetes.resource import Resource
from drplatform.stores.kubernetes.selection import Selection

ITEMS = 200
RECIPIENT, IDENTITY = backups.generate()
OPENER = backups.Opener([IDENTITY])


def populate(cluster, clock, namespace, items=ITEMS):
    """Reference content in the namespace, and in the objects that belong to no namespace nothing but its definitions."""
    found = list(seed.resources(11, items, namespace))
    outcome = applying.apply(cluster, found, clock)
    assert outcome.refused == {}
    return found


def take(store, clock):
    repository = MemoryRepository(clock)
    return backups.back_up(store, BackupKind.FULL, repository, [RECIPIENT], clock, random.Random(1)), repository


def bring_back(store, manifest, repository, clock):
    chain = backups.Catalogue(repository).chain_to("kubernetes")
    return backups.restore(chain, store, repository, OPENER, backups.Lease(store.name, store.identity()), clock)


def live(cluster, namespace):
    return [f.resource for f in inventory.read(cluster, Selection(frozenset({namespace})))]


def written(cluster, namespace):
    """For everything in the namespace who it is and when a restore wrote it last; controllers may write its status meanwhile."""
    return {
        (type_.kind, item["metadata"]["name"]): (
            item["metadata"]["uid"],
            [m for m in item["metadata"].get("managedFields", []) if m["manager"] == FIELD_MANAGER],
        )
        for type_ in cluster.types().preferred()
        if type_.namespaced and type_.kind not in ("Event", "Lease")
        for item in cluster.items(type_, namespace)
    }


def definitions():
    return [r for r in seed.resources(1, 0) if r.kind == "CustomResourceDefinition"]


def test_a_namespace_with_everything_in_it_is_deleted_and_comes_back(cluster, connect, namespace, clock):
    made = populate(cluster, clock, namespace)
    store = connect(namespaces=namespace)
    manifest, repository = take(store, clock)
    before = live(cluster, namespace)
    kinds = {r.kind for r in before}
    assert len(before) >= ITEMS and len(kinds) >= 25 and {"CustomResourceDefinition", "Widget", "Gadget"} <= kinds
    assert {r.key for r in made} <= {r.key for r in before}
    assert set(manifest.digests) == {"manifests", "environment", "secrets"}

    remove_namespace(cluster, clock, namespace)
    for definition in definitions():
        remove(cluster, definition)
    assert store.occupants() == ()
    end = bring_back(store, manifest, repository, clock)
    assert end.refused == ()
    assert difference.compare(before, live(cluster, namespace)) == []
    assert end.digests.keys() == manifest.digests.keys() and backups.differing(OPENER, manifest, end.digests) == []
    assert store.differences(reading.parts(manifest, repository, OPENER), None) == []

    settled = written(cluster, namespace)
    again = bring_back(store, manifest, repository, clock)
    assert again.refused == () and again.counts["written"] == 0
    assert written(cluster, namespace) == settled, "a second restore writes nothing"


class _Killed(BaseException):
    """As a signal would: nothing in the restore catches it."""


@pytest.mark.parametrize("after", [3, 40])
def test_a_restore_that_was_cut_off_is_resumed(cluster, connect, namespace, clock, after, monkeypatch):
    populate(cluster, clock, namespace, 60)
    store = connect(namespaces=namespace)
    manifest, repository = take(store, clock)
    before = live(cluster, namespace)
    remove_namespace(cluster, clock, namespace)
    applied, real = [], store._cluster.apply

    def dying(type_, one, **how):
        applied.append(one)
        if len(applied) > after:
            raise _Killed
        return real(type_, one, **how)

    monkeypatch.setattr(store._cluster, "apply", dying)
    with pytest.raises(_Killed):
        bring_back(store, manifest, repository, clock)
    monkeypatch.undo()
    assert 0 < len(live(cluster, namespace)) < len(before), "planted: it is half there"
    end = bring_back(store, manifest, repository, clock)
    assert end.refused == () and end.counts["already there"] > 0
    assert difference.compare(before, live(cluster, namespace)) == []


def post(cluster, one):
    """As somebody else than a restore would."""
    type_ = cluster.types().of(one)
    return cluster._send("post", type_.path(one.key.namespace), {"fieldManager": "somebody"}, one.document)


def test_what_somebody_else_made_is_never_overwritten(cluster, connect, namespace, clock):
    foreign = Resource(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "configmap-000", "namespace": namespace}, "data": {"a": "b"}}
    )
    populate(cluster, clock, namespace, 30)
    store = connect(namespaces=namespace)
    manifest, repository = take(store, clock)
    remove_namespace(cluster, clock, namespace)
    post(cluster, space(namespace))
    post(cluster, foreign)
    assert store.occupants() == (f"ConfigMap {namespace}/configmap-000",)
    with pytest.raises(errors.TargetRefused, match="configmap-000"):
        bring_back(store, manifest, repository, clock)
    outcome = applying.apply(cluster, [Resource({**foreign.document, "data": {"a": "c"}})], clock)
    assert "somebody" in outcome.refused[foreign.key]
    assert cluster.exists(cluster.types().of(foreign), foreign)["data"] == {"a": "b"}


def test_a_restore_into_another_namespace_leaves_the_first_alone(cluster, connect, namespace, clock):
    populate(cluster, clock, namespace, 60)
    store = connect(namespaces=namespace, map=f"{namespace}={namespace}-copy")
    manifest, repository = take(store, clock)
    settled = written(cluster, namespace)
    end = bring_back(store, manifest, repository, clock)
    assert end.refused == ()
    assert written(cluster, namespace) == settled
    names = {(*r.key[:2], r.key.name) for r in live(cluster, namespace) if r.key.namespace}
    assert {(*r.key[:2], r.key.name) for r in live(cluster, f"{namespace}-copy") if r.key.namespace} == names


BUSY = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: "registry.k8s.io/pause:3.10", ports: [{containerPort: 80}]}]}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: web
  selector: {matchLabels: {app: db}}
  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: c, image: "registry.k8s.io/pause:3.10"}]}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: outside}
spec: {ports: [{port: 5432}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: outside}
subsets: [{addresses: [{ip: 10.20.30.40}], ports: [{port: 5432}]}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: "registry.k8s.io/pause:3.10"}]}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: files}
spec: {accessModes: [ReadWriteOnce], storageClassName: "", volumeName: VOLUME, resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot}
---
apiVersion: v1
kind: Secret
type: kubernetes.io/service-account-token
metadata: {name: robot-token, annotations: {kubernetes.io/service-account.name: robot}}
---
apiVersion: v1
kind: Pod
metadata: {name: alone}
spec: {serviceAccountName: robot, priorityClassName: "", containers: [{name: c, image: "registry.k8s.io/pause:3.10"}]}
"""
VOLUME = (
    "{apiVersion: v1, kind: PersistentVolume, metadata: {name: VOLUME}, spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], "
    "persistentVolumeReclaimPolicy: Retain, storageClassName: '', hostPath: {path: /tmp/drplatform-test}}}"
)


def busy(cluster, clock, namespace):
    """A namespace in which controllers work, as people write it; made as somebody else than a restore would."""
    post(cluster, space(namespace))
    for text in (VOLUME, BUSY):
        for document in yaml.safe_load_all(text.replace("VOLUME", namespace)):
            if document["kind"] != "PersistentVolume":
                document["metadata"]["namespace"] = namespace
            post_when_possible(cluster, clock, Resource(document))
    left = Resource({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "robot-token", "namespace": namespace}})
    clocks.wait_for(clock, "the token", lambda: (cluster.exists(cluster.types().of(left), left) or {}).get("data"), within=30, every=0.1)
    deployment = Resource({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": namespace}})
    type_ = cluster.types().of(deployment)
    clocks.wait_for(
        clock,
        "the deployment to be seen",
        lambda: cluster.exists(type_, deployment)["status"].get("observedGeneration"),
        within=30,
        every=0.1,
    )


def post_when_possible(cluster, clock, one):
    """A pod cannot be made before its account is there."""
    clocks.wait_for(clock, f"{one.key} to be made", lambda: post(cluster, one), within=30, every=0.2, ignoring=(ApiException,))


def test_what_controllers_made_is_left_out_and_made_again(cluster, connect, namespace, clock):
    volume = Resource(yaml.safe_load(VOLUME.replace("VOLUME", namespace)))
    busy(cluster, clock, namespace)
    try:
        store = connect(namespaces=namespace)
        manifest, repository = take(store, clock)
        before = live(cluster, namespace)
        found = {(r.kind, r.key.name) for r in before if r.kind != "CustomResourceDefinition"}
        assert found == {
            ("Namespace", namespace), ("Deployment", "web"), ("StatefulSet", "db"), ("Service", "web"), ("Service", "outside"), ("Endpoints", "outside"),
            ("Job", "once"), ("PersistentVolumeClaim", "files"), ("ServiceAccount", "robot"), ("Secret", "robot-token"), ("Pod", "alone"),
            ("PersistentVolume", namespace),
        }  # fmt: skip
        remove_namespace(cluster, clock, namespace)
        remove(cluster, volume)
        end = bring_back(store, manifest, repository, clock)
        assert end.refused == ()
        assert store.differences(reading.parts(manifest, repository, OPENER), None) == []
        assert bring_back(store, manifest, repository, clock).counts["written"] == 0
    finally:
        remove(cluster, volume)


def test_refusals_are_collected_and_told_without_secrets(cluster, connect, namespace, clock):
    canary = "canary-value-c1a4"
    populate(cluster, clock, namespace, 25)
    good = Resource({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "good", "namespace": namespace}, "data": {"a": "b"}})
    bad = [
        Resource({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bad", "namespace": namespace}, "data": {canary + "/%": canary}}),
        Resource({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bad", "namespace": namespace}, "data": {"a": canary + "!"}}),
        Resource({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bad", "namespace": namespace}, "spec": {"containers": [
            {"name": "c", "image": "i", "env": [{"name": "A", "value": canary, "valueFrom": {"fieldRef": {"fieldPath": canary}}}]}]}}),
        Resource({"apiVersion": "nobody.example/v1", "kind": "Basket", "metadata": {"name": "bad", "namespace": namespace}}),
    ]  # fmt: skip
    rehearsed = applying.rehearse(cluster, [good, *bad], clock)
    assert set(rehearsed.refused) == {r.key for r in bad}
    assert cluster.exists(cluster.types().of(good), good) is None, "a rehearsal changes nothing"
    with dump.restore(cluster, connect()._mapping, clock) as restore:
        for section in resource.SECTIONS:
            members = [r for r in (good, *bad) if r.section == section]
            restore.load(BackupKind.FULL, f"{section}/objects", resource.blocks(connect().position(), members))
        restore.loaded()
        end = restore.finish()
    assert len(end.refused) == len(bad) and end.counts["written"] == 1
    told = "\n".join([*end.refused, *rehearsed.sentences()])
    assert "bad" in told and canary not in told.replace(canary + "/%", ""), told


def test_a_backup_is_checked_before_its_namespace_is_there(cluster, connect, namespace, clock):
    populate(cluster, clock, namespace, 60)
    store = connect(namespaces=namespace)
    manifest, repository = take(store, clock)
    remove_namespace(cluster, clock, namespace)
    assert store.rehearse(reading.parts(manifest, repository, OPENER)) == ()
    assert live(cluster, namespace) == [] or all(not r.key.namespace for r in live(cluster, namespace))
    shown = store.documents(reading.parts(manifest, repository, OPENER))
    assert f"{namespace}/ConfigMap/configmap-000.yaml" in shown and not any("/Secret/" in path for path in shown)


def test_drift_is_told(cluster, connect, namespace, clock):
    populate(cluster, clock, namespace, 30)
    store = connect(namespaces=namespace)
    manifest, repository = take(store, clock)
    deployment = Resource({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "deployment-005", "namespace": namespace}})
    type_ = cluster.types().of(deployment)
    current = cluster.exists(type_, deployment)
    current["spec"]["revisionHistoryLimit"] = 3
    applying_body = {**current, "metadata": {k: v for k, v in current["metadata"].items() if k != "managedFields"}}
    assert not isinstance(cluster.apply(type_, Resource(applying_body), force=True), applying.Refusal)
    changes = store.differences(reading.parts(manifest, repository, OPENER), None)
    assert [str(c) for c in changes] == [f"Deployment.apps {namespace}/deployment-005: spec.revisionHistoryLimit: 10 -> 3"]


def test_the_cluster_is_known_and_looked_at(connect, kubeconfig, clock):
    store = connect()
    assert store.identity() == connect().identity() != ""
    assert store.version().startswith("Kubernetes v1.")
    assert isinstance(store.validate(), list)
    with pytest.raises(errors.StoreError):
        store.marker("client")


def test_a_whole_cluster_comes_back_in_an_empty_one(cluster, connect, namespace, clock, empty_kubeconfig):
    populate(cluster, clock, namespace, 60)
    store, target = connect(), connect(kubeconfig=empty_kubeconfig)
    manifest, repository = take(store, clock)
    assert target.rehearse(reading.parts(manifest, repository, OPENER)) == ()
    end = bring_back(target, manifest, repository, clock)
    assert end.refused == () and end.digests.keys() == manifest.digests.keys()
    assert backups.differing(OPENER, manifest, end.digests) == []
    assert target.differences(reading.parts(manifest, repository, OPENER), None) == []
    assert bring_back(target, manifest, repository, clock).counts["written"] == 0
    remove_namespace(cluster, clock, namespace)
