"""Order, text, mapping, differences and byte forms of objects: pure, without a cluster."""

import base64
import itertools
import json
import random

import pytest
import yaml

from drplatform.model import errors
from drplatform.model.position import Position
from drplatform.stores.kubernetes import difference, fidelity, ordering, resource, seed, text
from drplatform.stores.kubernetes.mapping import NamespaceMapping
from drplatform.stores.kubernetes.resource import Resource

POSITION = Position("cluster", (7,), 0.007)
CANARY = "canary-p4ssw0rd-é"


def made(kind, name="x", version="v1", namespace="shop", **more):
    return Resource({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **more})


# -- order --------------------------------------------------------------------------------------------------------------------


def test_everything_finds_what_it_needs():
    kinds = [
        ("CustomResourceDefinition", "apiextensions.k8s.io/v1"), ("Namespace", "v1"), ("PriorityClass", "scheduling.k8s.io/v1"),
        ("Role", "rbac.authorization.k8s.io/v1"), ("RoleBinding", "rbac.authorization.k8s.io/v1"), ("ServiceAccount", "v1"), ("Secret", "v1"),
        ("ConfigMap", "v1"), ("StorageClass", "storage.k8s.io/v1"), ("PersistentVolumeClaim", "v1"), ("NetworkPolicy", "networking.k8s.io/v1"),
        ("Service", "v1"), ("Deployment", "apps/v1"), ("Ingress", "networking.k8s.io/v1"), ("Certificate", "cert-manager.io/v1"),
        ("ResourceQuota", "v1"), ("APIService", "apiregistration.k8s.io/v1"), ("ValidatingWebhookConfiguration", "admissionregistration.k8s.io/v1"),
    ]  # fmt: skip
    resources = [made(kind, version=version) for kind, version in kinds]
    random.Random(5).shuffle(resources)
    ordered = [r.kind for _, stage in ordering.in_order(resources) for r in stage]
    assert ordered == [kind for kind, _ in kinds]
    assert [name for name, _ in ordering.in_order(resources)][:2] == [ordering.DEFINITIONS, ordering.NAMESPACES]


def test_order_repeats():
    resources = [made("ConfigMap", name) for name in "cab"]
    orders = {str([r.key.name for _, s in ordering.in_order(p) for r in s]) for p in itertools.permutations(resources)}
    assert orders == {"['a', 'b', 'c']"}


# -- text ---------------------------------------------------------------------------------------------------------------------

ODD = ["1e3", "12e5", "0o17", "0x1F", "012", "1_000", "yes", "no", "on", "y", "N", "null", "~", "", "true", "2026-01-01", "1.0", "-", ".5", "+1",
       "=", "<<", "a: b", "# c", "- d", "line\nline\n", "no end\nof line", " space ", "tab\there", "é – 你好", "trailing \nspace", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), "a\x07b"]  # fmt: skip


def test_text_stays_text_for_every_reader():
    one = made("ConfigMap", data={f"k{n}": value for n, value in enumerate(ODD)})
    written = text.manifest(one)
    assert yaml.safe_load(written) == one.document
    for line in written.splitlines():
        name, _, value = line.strip().partition(": ")
        if name.startswith("k") and value and value[0] not in "'\"|":
            assert value[0].isalpha() or value[0] in "_/", f"{line!r} could be read as something else than text"


def test_the_same_object_is_the_same_text():
    one = made("ConfigMap", data={"a": "1", "b": "2"})
    other = Resource(
        {"data": {"b": "2", "a": "1"}, "metadata": {"namespace": "shop", "name": "x"}, "kind": "ConfigMap", "apiVersion": "v1"}
    )
    assert text.manifest(one) == text.manifest(other)
    assert text.manifest(one).splitlines()[:3] == ["apiVersion: v1", "kind: ConfigMap", "metadata:"]
    assert one.canonical() == other.canonical()


def test_secrets_are_in_no_directory_of_manifests():
    found = text.manifests(
        [made("Secret", data={"p": "eA=="}), made("ConfigMap"), made("ClusterRole", "system:x", "rbac.authorization.k8s.io/v1", "")]
    )
    assert set(found) == {"shop/ConfigMap/x.yaml", "_cluster/ClusterRole.rbac.authorization.k8s.io/system%3Ax.yaml"}


# -- byte form ----------------------------------------------------------------------------------------------------------------


def test_reference_content_comes_back():
    found = list(seed.resources(3, 60))
    assert len({r.kind for r in found}) >= 25
    assert (
        [r.canonical() for r in found] == [r.canonical() for r in seed.resources(3, 60)] != [r.canonical() for r in seed.resources(4, 60)]
    )
    for section in resource.SECTIONS:
        members = [r for r in found if r.section == section]
        assert resource.read(f"{section}/objects", resource.blocks(POSITION, members)) == (POSITION, members)


@pytest.mark.parametrize(
    "lines",
    [b"", b'{"format": 2}', b"[]", b'{"format": 1}', b'{"format": 1, "position": {}}', b"\xff"],
)
def test_another_format_is_refused(lines):
    with pytest.raises(errors.IntegrityError):
        resource.read("manifests/objects", [lines])


def test_damaged_secret_is_refused_without_telling_it():
    (block,) = resource.blocks(POSITION, [made("Secret", stringData={"p": CANARY})])
    for bad, part in ((block[:-9], "secrets/objects"), (block, "manifests/objects")):
        with pytest.raises(errors.IntegrityError) as refusal:
            resource.read(part, [bad])
        assert CANARY[:6] not in repr(refusal.value) + repr(refusal.value.__cause__)
    assert CANARY not in repr(resource.read("secrets/objects", [block]))


# -- mapping ------------------------------------------------------------------------------------------------------------------


def test_an_object_moves_with_all_that_names_its_namespace():
    mapping = NamespaceMapping.read("shop=shop-copy, billing=bills")
    binding = made(
        "RoleBinding", version="rbac.authorization.k8s.io/v1", subjects=[{"kind": "ServiceAccount", "name": "a", "namespace": "billing"}]
    )
    assert mapping.map(binding).key.namespace == "shop-copy"
    assert mapping.map(binding).document["subjects"][0]["namespace"] == "bills"
    space = Resource({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"team": "shop"}}})
    assert mapping.map(space).document["metadata"] == {"name": "shop-copy", "labels": {"team": "shop"}}
    settings = made("ConfigMap", data={"namespace": "shop"})
    assert mapping.map(settings).document["data"] == {"namespace": "shop"}, "text is not understood, so not changed"
    selector = {"matchLabels": {"kubernetes.io/metadata.name": "shop", "app": "shop"}}
    policy = made("NetworkPolicy", version="networking.k8s.io/v1", spec={"ingress": [{"from": [{"namespaceSelector": selector}]}]})
    moved = mapping.map(policy).document["spec"]["ingress"][0]["from"][0]["namespaceSelector"]["matchLabels"]
    assert moved == {"kubernetes.io/metadata.name": "shop-copy", "app": "shop"}
    assert mapping.map(made("ConfigMap", namespace="other")) == made("ConfigMap", namespace="other")


def test_mapping_drops_the_note_of_kubectl_which_names_the_old_place():
    annotated = Resource(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "shop",
         "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "a": "b"}}}
    )  # fmt: skip
    assert NamespaceMapping({"shop": "copy"}).map(annotated).metadata["annotations"] == {"a": "b"}
    assert NamespaceMapping({}).map(annotated) == annotated


@pytest.mark.parametrize("wrong", ["shop", "=x", "shop=", "a=b,c=b", "a=b,a=c"])
def test_wrong_mapping_is_refused(wrong):
    with pytest.raises(errors.SettingsError):
        NamespaceMapping.read(wrong)


# -- differences --------------------------------------------------------------------------------------------------------------


def deployment(replicas, image, env):
    container = {"name": "api", "image": image, "env": [{"name": "TOKEN", "value": env}], "args": [f"--token={env}"]}
    return made("Deployment", "api", "apps/v1", spec={"replicas": replicas, "template": {"spec": {"containers": [container]}}})


def test_differences_are_named_and_what_may_be_secret_is_not_told():
    changes = difference.compare([deployment(3, "api:1", "old" + CANARY)], [deployment(4, "api:2", "new" + CANARY)])
    assert [str(c) for c in changes] == [
        "Deployment.apps shop/api: spec.replicas: 3 -> 4",
        "Deployment.apps shop/api: spec.template.spec.containers[api].args[0000]: (not shown) -> (not shown)",
        "Deployment.apps shop/api: spec.template.spec.containers[api].env[TOKEN].value: (not shown) -> (not shown)",
        'Deployment.apps shop/api: spec.template.spec.containers[api].image: "api:1" -> "api:2"',
    ]


@pytest.mark.parametrize(
    "place",
    [
        {"kind": "Secret", "data": {"name": "%s"}}, {"kind": "Secret", "stringData": {"image": "%s"}}, {"kind": "Secret", "type": "%s"},
        {"kind": "ConfigMap", "data": {"path": "%s"}}, {"kind": "ConfigMap", "binaryData": {"kind": "%s"}},
        {"kind": "Pod", "spec": {"containers": [{"name": "c", "env": [{"name": "A", "value": "%s"}]}]}},
        {"kind": "Pod", "spec": {"containers": [{"name": "c", "command": ["sh", "%s"]}]}}, {"kind": "Basket", "spec": {"password": "%s"}},
        {"kind": "Basket", "spec": {"list": ["%s"]}}, {"kind": "Basket", "annotations": {"image": "%s"}}, {"kind": "Basket", "spec": "%s"},
    ],
)  # fmt: skip
def test_a_changed_secret_is_never_told_wherever_it_is(place):
    before = json.loads(json.dumps(place).replace("%s", "old" + CANARY))
    after = json.loads(json.dumps(place).replace("%s", "new" + CANARY))
    pair = [Resource({"apiVersion": "v1", "metadata": {"name": "x"}, **document}) for document in (before, after)]
    changes = difference.compare(pair[:1], pair[1:])
    assert len(changes) == 1, "planted: the difference is seen"
    assert "canary" not in str(changes) and changes[0].before == changes[0].after == difference.HIDDEN_TEXT


def test_appearing_and_going():
    one, other = made("ConfigMap", "a"), made("Secret", "b", stringData={"p": CANARY})
    assert [str(c) for c in difference.compare([one], [other])] == ["ConfigMap shop/a: there -> gone", "Secret shop/b: not there -> new"]
    assert difference.compare([one, other], [other, one]) == []
    assert [str(c) for c in difference.compare([made("A", flag=True)], [made("A", flag=1)])] == ["A shop/x: flag: true -> 1"]
    assert [str(c) for c in difference.compare([made("A", size=1)], [made("A")])] == ["A shop/x: size: 1 -> absent"]


def test_what_a_server_says_is_told_without_the_objects_own_texts():
    secret = made("Secret", data={"p": base64.b64encode(CANARY.encode()).decode()})
    said = f'Secret "x" is invalid: data[p]: Invalid value: "{CANARY}": or {secret.document["data"]["p"]} or {json.dumps(CANARY)}'
    assert 'Secret "x" is invalid' in difference.redacted(said, secret.document)
    for form in (CANARY, secret.document["data"]["p"], json.dumps(CANARY)[1:-1]):
        assert form not in difference.redacted(said, secret.document)


def test_only_the_autoscaler_may_change_replicas():
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"}
    scaler = made("HorizontalPodAutoscaler", "h", "autoscaling/v2", spec={"scaleTargetRef": target})
    wanted, found = deployment(3, "api:1", "a"), deployment(5, "api:1", "a")
    assert fidelity.unexplained([wanted, scaler], [found, scaler]) == []
    assert [c.where for c in fidelity.unexplained([wanted], [found])] == ["spec.replicas"]
    assert [c.where for c in fidelity.unexplained([wanted, scaler], [deployment(5, "api:2", "a"), scaler])] != []
    assert fidelity.unexplained([wanted], []) != [], "what is not there is a difference"
