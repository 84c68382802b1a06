"""What of an object is configuration: on objects as clusters give them, of public shape."""

import copy

import pytest
import yaml

from drplatform.stores.kubernetes import related, selection
from drplatform.stores.kubernetes.cleaning import clean, marked
from drplatform.stores.kubernetes.resource import Resource
from drplatform.stores.kubernetes.selection import Selection

METADATA = {
    "uid": "0f3c", "resourceVersion": "811", "generation": 3, "creationTimestamp": "2026-01-01T00:00:00Z",
    "managedFields": [{"manager": "kubectl", "operation": "Apply"}],
}  # fmt: skip


def live(text, **metadata):
    """An object as a cluster gives it: with all that the server adds to every one."""
    document = yaml.safe_load(text)
    document["metadata"] |= copy.deepcopy(METADATA) | metadata
    return document


DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: api
  namespace: shop
  annotations: {deployment.kubernetes.io/revision: "7", owner: team-a}
  labels: {app: api}
  finalizers: [foregroundDeletion, example.org/keep]
spec:
  replicas: 3
  revisionHistoryLimit: 10
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}, annotations: {kubectl.kubernetes.io/restartedAt: "2026-01-01T00:00:00Z"}}
    spec: {containers: [{name: api, image: "shop/api:1.2"}]}
status: {replicas: 3, readyReplicas: 2}
"""


def test_what_the_server_adds_goes_and_what_people_wrote_stays():
    before = live(DEPLOYMENT, ownerReferences=[{"kind": "Shop", "name": "shop", "uid": "1"}])
    untouched = copy.deepcopy(before)
    found = clean(before).document
    assert before == untouched, "the original is not changed"
    assert found["metadata"] == {
        "name": "api", "namespace": "shop", "labels": {"app": "api"}, "annotations": {"owner": "team-a"}, "finalizers": ["example.org/keep"]
    }  # fmt: skip
    assert "status" not in found
    assert found["spec"] == untouched["spec"]
    assert clean(found).document == found, "cleaning twice is cleaning once"


SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, finalizers: [service.kubernetes.io/load-balancer-cleanup]}
spec:
  clusterIP: %s
  clusterIPs: ["%s"]
  ipFamilies: [IPv4]
  ipFamilyPolicy: SingleStack
  type: NodePort
  healthCheckNodePort: 31000
  ports: [{port: 80, nodePort: 30080}]
"""


def test_addresses_belong_to_a_cluster_but_headless_and_node_ports_to_the_configuration():
    spec = clean(live(SERVICE % ("10.96.0.7", "10.96.0.7"))).document["spec"]
    assert spec == {"ipFamilyPolicy": "SingleStack", "type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}
    assert clean(live(SERVICE % ("None", "None"))).document["spec"]["clusterIP"] == "None"


CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: shop, annotations: {%s}, finalizers: [kubernetes.io/pvc-protection]}
spec: {accessModes: [ReadWriteOnce], storageClassName: standard, volumeName: pvc-1234}
status: {phase: Bound}
"""


def test_a_claim_keeps_a_volume_that_a_person_named_but_not_one_that_it_was_given():
    given = clean(live(CLAIM % 'pv.kubernetes.io/bind-completed: "yes", volume.kubernetes.io/storage-provisioner: rancher.io/local-path'))
    assert "volumeName" not in given.document["spec"]
    assert given.metadata == {"name": "data", "namespace": "shop"}
    assert clean(live(CLAIM % 'pv.kubernetes.io/bind-completed: "yes"')).document["spec"]["volumeName"] == "pvc-1234"


JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, namespace: shop, labels: {job-name: migrate, controller-uid: 5f, keep: me}}
spec:
  selector: {matchLabels: {batch.kubernetes.io/controller-uid: 5f}}
  template:
    metadata: {labels: {controller-uid: 5f, batch.kubernetes.io/controller-uid: 5f, batch.kubernetes.io/job-name: migrate}}
    spec: {containers: [{name: m, image: m}], restartPolicy: Never}
status: {%s}
"""


def test_a_job_can_be_made_again_and_one_that_has_ended_is_not():
    found = clean(live(JOB % "active: 1")).document
    assert "selector" not in found["spec"]
    assert found["metadata"]["labels"] == {"keep": "me"}
    assert found["spec"]["template"]["metadata"] == {}
    assert not selection.made_by_cluster(live(JOB % "active: 1"))
    assert selection.made_by_cluster(live(JOB % "conditions: [{type: Complete, status: 'True'}]"))


POD = """
apiVersion: v1
kind: Pod
metadata: {name: shell, namespace: shop, labels: {topology.kubernetes.io/region: r1, topology.kubernetes.io/zone: a, keep: me}}
spec:
  nodeName: worker-2
  priority: 0
  tolerations:
  - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 300}
  - {key: mine, operator: Exists}
  containers:
  - name: c
    image: busybox
    volumeMounts: [{name: kube-api-access-x7k2p, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}]
  volumes: [{name: kube-api-access-x7k2p, projected: {sources: []}}]
status: {phase: %s}
"""


def test_a_pod_loses_what_scheduling_and_admission_gave_it():
    document = clean(live(POD % "Running")).document
    spec, labels = document["spec"], document["metadata"]["labels"]
    assert labels == {"keep": "me"}, "a restored pod may come to a node in another region"
    assert spec == {"tolerations": [{"key": "mine", "operator": "Exists"}], "containers": [{"name": "c", "image": "busybox"}]}
    assert selection.made_by_cluster(live(POD % "Succeeded"))


def test_status_of_a_custom_object_is_kept_where_it_is_no_subresource():
    document = live("{apiVersion: shop.example/v1, kind: Basket, metadata: {name: b, namespace: shop}, status: {full: true}}")
    assert clean(document, status_is_managed=False).document["status"] == {"full": True}
    assert "status" not in clean(document).document


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("{apiVersion: v1, kind: ServiceAccount, metadata: {name: a}, secrets: [{name: a-token-x2z}, {name: mine}]}", ("secrets", [{"name": "mine"}])),
        ("{apiVersion: v1, kind: Secret, type: kubernetes.io/service-account-token, metadata: {name: t}, data: {token: eA==}}", ("data", None)),
        ("{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: r}, aggregationRule: {}, rules: [{}]}", ("rules", [{}])),
        ("{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: r}, aggregationRule: {a: 1}, rules: [{}]}", ("rules", None)),
        ("{apiVersion: v1, kind: Namespace, metadata: {name: n}, spec: {finalizers: [kubernetes]}}", ("spec", None)),
    ],
)  # fmt: skip
def test_single_kinds(text, gone):
    name, value = gone
    assert clean(live(text)).document.get(name) == value


def test_restored_volume_can_be_bound_again():
    volume = "{apiVersion: v1, kind: PersistentVolume, metadata: {name: v}, spec: {claimRef: {name: data, namespace: shop, uid: u, resourceVersion: '4'}}}"
    assert clean(live(volume)).document["spec"]["claimRef"] == {"name": "data", "namespace": "shop"}


OWN = [
    ("{apiVersion: v1, kind: ConfigMap, metadata: {name: kube-root-ca.crt, namespace: shop}}", {}),
    ("{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: shop}}", {}),
    ("{apiVersion: v1, kind: Service, metadata: {name: kubernetes, namespace: default}}", {}),
    ("{apiVersion: v1, kind: Namespace, metadata: {name: kube-system}}", {}),
    ("{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: api-5d4, namespace: shop}}", {"ownerReferences": [{"kind": "Deployment", "controller": True}]}),
    ("{apiVersion: v1, kind: Secret, metadata: {name: going, namespace: shop}}", {"deletionTimestamp": "2026-01-01T00:00:00Z"}),
    ("{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: edit, labels: {kubernetes.io/bootstrapping: rbac-defaults}}}", {}),
    ("{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: v1., labels: {kube-aggregator.kubernetes.io/automanaged: onstart}}}", {}),
    ("{apiVersion: v1, kind: PersistentVolume, metadata: {name: pvc-1, annotations: {pv.kubernetes.io/provisioned-by: csi}}}", {}),
    ("{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: system-node-critical}}", {}),
    ("{apiVersion: flowcontrol.apiserver.k8s.io/v1, kind: FlowSchema, metadata: {name: probes, annotations: {apf.kubernetes.io/autoupdate-spec: 'true'}}}", {}),
    ("{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s, namespace: shop, "
     "labels: {endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io}}}", {}),
]  # fmt: skip
MADE_BY_PEOPLE = [
    "{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: shop}, imagePullSecrets: [{name: pull}]}",
    "{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: by-hand, namespace: shop}}",
    "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}",
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s, namespace: shop}}",
    "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: shop, ownerReferences: [{kind: Shop, name: s, uid: u}]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: kubernetes, namespace: shop}}",
]


@pytest.mark.parametrize(("text", "metadata"), OWN)
def test_what_a_cluster_makes_by_itself_is_left_out(text, metadata):
    assert selection.made_by_cluster(live(text, **metadata))


@pytest.mark.parametrize("text", MADE_BY_PEOPLE)
def test_what_people_made_is_not(text):
    assert not selection.made_by_cluster(live(text))


def object_in(namespace, kind="ConfigMap", group=""):
    return Resource({"apiVersion": f"{group}/v1" if group else "v1", "kind": kind, "metadata": {"name": "x", "namespace": namespace}})


def test_selection_by_namespace_and_kind():
    everything, one = (
        Selection(),
        Selection.read({"namespaces": "shop, billing", "kinds": "ConfigMap,Basket.shop.example", "labels": "a=b"}),
    )
    assert everything.wants(object_in("shop")) and not everything.wants(object_in("kube-system"))
    assert one.wants(object_in("shop")) and one.wants(object_in("billing")) and not one.wants(object_in("other"))
    assert one.labels == "a=b"
    assert Selection(frozenset({"kube-system"})).wants(object_in("kube-system")), "named on purpose"
    cluster_wide = Resource({"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": "high"}})
    assert everything.wants(cluster_wide) and not one.wants(cluster_wide)
    assert one.wants_kind("", "ConfigMap") and one.wants_kind("shop.example", "Basket")
    assert not one.wants_kind("other.example", "Basket") and not one.wants_kind("", "Secret")
    assert not everything.wants_kind("", "Event") and not everything.wants_kind("coordination.k8s.io", "Lease")


@pytest.mark.parametrize(
    "text",
    [
        "{apiVersion: v1, kind: ServiceAccount, metadata: {name: a, namespace: shop}}",
        "{apiVersion: v1, kind: Namespace, metadata: {name: n, labels: {a: b}}}",
    ],
)
def test_the_mark_of_a_restore_is_no_configuration(text):
    one = Resource(yaml.safe_load(text))
    assert marked(one) != one
    assert clean(marked(one).document) == one
    assert marked(object_in("shop", "ConfigMap")) != object_in("shop", "ConfigMap")
    full = Resource({**one.document, "kind": "ConfigMap", "data": {"a": "b"}})
    assert marked(full) == full


def test_what_a_namespace_needs_of_the_cluster_is_found():
    documents = yaml.safe_load_all("""
{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop}, spec: {priorityClassName: high, runtimeClassName: sandbox}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c, namespace: shop}, spec: {storageClassName: fast, volumeName: disk}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: b, namespace: shop}, roleRef: {kind: ClusterRole, name: viewer}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: ours}, roleRef: {kind: ClusterRole, name: writer}, subjects: [{namespace: shop}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: theirs}, roleRef: {kind: ClusterRole, name: x}, subjects: [{namespace: other}]}
---
{apiVersion: shop.example/v1, kind: Basket, metadata: {name: b, namespace: shop}}
---
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: baskets}, spec: {group: shop.example, names: {kind: Basket}}}
---
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: others}, spec: {group: shop.example, names: {kind: Other}}}
""")
    assert {(name.kind, name.name) for name in related.needed(map(Resource, documents))} == {
        ("PriorityClass", "high"), ("RuntimeClass", "sandbox"), ("StorageClass", "fast"), ("PersistentVolume", "disk"), ("ClusterRole", "viewer"),
        ("ClusterRoleBinding", "ours"), ("ClusterRole", "writer"), ("CustomResourceDefinition", "baskets"),
    }  # fmt: skip
