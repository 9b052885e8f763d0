"""The Kubernetes objects: valid, closed, and without secrets."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.cluster.files import CLUSTER, GUIDE, IMAGE, SECRET, leaves, raycluster, rendered

KUBERNETES = "1.34"
LAYERS = ["base", "overlays/dev"]


def closed(required: str, optional: str = "", **inner: Any) -> dict[str, Any]:
    """The schema of an object with these fields and no others."""
    fields: dict[str, Any] = {name: {} for name in (required + " " + optional).split()}
    return {
        "type": "object",
        "required": required.split(),
        "properties": {**fields, **inner},
        "additionalProperties": False,
    }


# The fields of KubeRay 1.6's definitions that a rayflow cluster may use; pod templates are checked as pods.
PARAMS = {"type": "object", "additionalProperties": {"type": "string"}}
WORKERS = closed(
    "groupName minReplicas maxReplicas replicas rayStartParams template",
    "idleTimeoutSeconds numOfHosts",
    rayStartParams=PARAMS,
)
KUBERAY = {
    "RayCluster": closed(
        "rayVersion authOptions headGroupSpec workerGroupSpecs",
        "enableInTreeAutoscaling autoscalerOptions gcsFaultToleranceOptions",
        rayVersion={"type": "string"},
        authOptions=closed("mode secretName", mode={"const": "token"}),
        headGroupSpec=closed("rayStartParams template", "serviceType", rayStartParams=PARAMS),
        workerGroupSpecs={"type": "array", "minItems": 1, "items": WORKERS},
    ),
    "RayJob": closed(
        "clusterSelector entrypoint submissionMode",
        "ttlSecondsAfterFinished activeDeadlineSeconds",
        clusterSelector=closed("ray.io/cluster"),
        submissionMode={"enum": ["K8sJobMode", "HTTPMode"]},
    ),
}


def templates(layer: str) -> list[dict[str, Any]]:
    """The pods of the cluster: the head's, then the workers'."""
    spec = raycluster(layer)["spec"]
    return [spec["headGroupSpec"]["template"], *(group["template"] for group in spec["workerGroupSpecs"])]


@pytest.mark.parametrize("layer", LAYERS)
def test_every_object_is_what_kubernetes_and_kuberay_take(layer: str) -> None:
    for manifest in rendered(layer):
        if manifest["kind"] in KUBERAY:
            assert manifest["apiVersion"] == "ray.io/v1"
            jsonschema.validate(manifest["spec"], KUBERAY[manifest["kind"]])
        else:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    for template in templates(layer):
        pod = {"apiVersion": "v1", "kind": "Pod", **template}
        pod["metadata"] = {**pod["metadata"], "name": "pod"}
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def test_a_field_that_does_not_exist_is_found() -> None:
    manifest = raycluster()
    manifest["spec"]["authOption"] = {}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest["spec"], KUBERAY["RayCluster"])


def test_every_file_is_part_of_a_kustomization() -> None:
    for kustomization in CLUSTER.glob("kubernetes/**/kustomization.yaml"):
        content = yaml.safe_load(kustomization.read_text(encoding="utf-8"))
        named = {*content["resources"], *(patch["path"] for patch in content.get("patches", ()))}
        assert {path.name for path in kustomization.parent.glob("*.yaml")} == {
            name for name in named if name.endswith(".yaml")
        } | {"kustomization.yaml"}


@pytest.mark.parametrize("layer", LAYERS)
def test_pods_run_without_rights_and_without_a_writable_root(layer: str) -> None:
    for template in templates(layer):
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] >= 10_000
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["serviceAccountName"] == "rayflow"
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert {mount["name"] for mount in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}
            assert {"cpu", "memory"} <= container["resources"]["limits"].keys()
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()


@pytest.mark.parametrize("layer", LAYERS)
def test_state_lies_where_a_volume_is(layer: str) -> None:
    [settings] = [each["data"] for each in rendered(layer) if each["kind"] == "ConfigMap"]
    for template in templates(layer):
        for container in template["spec"]["containers"]:
            assert settings["RAYFLOW_STATE"] in {mount["mountPath"] for mount in container["volumeMounts"]}


@pytest.mark.parametrize("layer", LAYERS)
def test_secrets_come_from_a_secret_and_stand_in_no_file(layer: str) -> None:
    for manifest in rendered(layer):
        assert manifest["kind"] != "Secret"
        for way, value in leaves(manifest):
            if SECRET.search(way[-1]):
                assert way[-1] in ("secretName", "automountServiceAccountToken"), way
                assert value in ("rayflow-ray-token", False)
    for template in templates(layer):
        for container in template["spec"]["containers"]:
            assert {"secretRef": {"name": "rayflow-secrets"}} in container["envFrom"]


@pytest.mark.parametrize("layer", LAYERS)
def test_images_are_pinned_to_a_version(layer: str) -> None:
    for template in templates(layer):
        for container in template["spec"]["containers"]:
            assert IMAGE.match(container["image"]), container["image"]


@pytest.mark.parametrize("layer", LAYERS)
def test_metrics_are_scraped_where_they_are_served(layer: str) -> None:
    [settings] = [each["data"] for each in rendered(layer) if each["kind"] == "ConfigMap"]
    [policy] = [each["spec"] for each in rendered(layer) if each["kind"] == "NetworkPolicy"]
    port = settings["RAYFLOW_METRICS_PORT"]
    assert int(port) in {each["port"] for rule in policy["ingress"] for each in rule.get("ports", ())}
    for template in templates(layer):
        assert template["metadata"]["annotations"]["prometheus.io/port"] == port
        for container in template["spec"]["containers"]:
            assert int(port) in {each["containerPort"] for each in container["ports"]}


@pytest.mark.parametrize("layer", LAYERS)
def test_the_network_policy_and_the_budget_mean_the_clusters_pods(layer: str) -> None:
    manifests = rendered(layer)
    name = raycluster(layer)["metadata"]["name"]
    selected = {"matchLabels": {"ray.io/cluster": name}}
    [policy] = [each["spec"] for each in manifests if each["kind"] == "NetworkPolicy"]
    [budget] = [each["spec"] for each in manifests if each["kind"] == "PodDisruptionBudget"]
    [job] = [each["spec"] for each in manifests if each["kind"] == "RayJob"]
    assert policy["podSelector"] == selected
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert budget["selector"] == selected
    assert job["clusterSelector"] == selected["matchLabels"]
    for rule in policy["ingress"]:
        assert rule["from"]
        if "ports" not in rule:  # any port: to itself alone
            assert rule["from"] == [{"podSelector": selected}]
    for rule in policy["egress"]:
        assert rule["to"]
        if "ports" not in rule:
            assert rule["to"] == [{"podSelector": selected}]
    pods = 1 + sum(group["replicas"] for group in raycluster(layer)["spec"]["workerGroupSpecs"])
    assert budget["minAvailable"] == pods - 1


@pytest.mark.parametrize("layer", LAYERS)
def test_the_network_policy_names_every_peer(layer: str) -> None:
    [policy] = [each["spec"] for each in rendered(layer) if each["kind"] == "NetworkPolicy"]
    own = {"podSelector": policy["podSelector"]}
    for peer in [peer for rule in policy["ingress"] for peer in rule["from"]] + [
        peer for rule in policy["egress"] for peer in rule["to"]
    ]:
        if "ipBlock" in peer:
            assert ip_network(peer["ipBlock"]["cidr"]).num_addresses <= 1 << 16
        elif peer != own:
            assert peer["namespaceSelector"]["matchLabels"].keys() == {"kubernetes.io/metadata.name"}


@pytest.mark.parametrize("layer", LAYERS)
def test_only_the_operator_in_its_namespace_reaches_the_dashboard(layer: str) -> None:
    [policy] = [each["spec"] for each in rendered(layer) if each["kind"] == "NetworkPolicy"]
    [rule] = [rule for rule in policy["ingress"] if 8265 in {each["port"] for each in rule.get("ports", ())}]
    [peer] = rule["from"]
    assert peer["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "kuberay-operator"}}
    namespace = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    assert f"--namespace {namespace} " in GUIDE.read_text(encoding="utf-8")


@pytest.mark.parametrize("layer", LAYERS)
def test_the_network_policy_lets_the_pods_reach_the_broker(layer: str) -> None:
    manifests = rendered(layer)
    [policy] = [each["spec"] for each in manifests if each["kind"] == "NetworkPolicy"]
    [settings] = [each["data"] for each in manifests if each["kind"] == "ConfigMap"]
    host, _, port = settings["RAYFLOW_BROKER"].removeprefix("kafka://").partition(":")
    namespace = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": host.split(".")[1]}}}
    [rule] = [rule for rule in policy["egress"] if namespace in rule["to"]]
    assert any(each["port"] <= int(port) <= each.get("endPort", each["port"]) for each in rule["ports"])
