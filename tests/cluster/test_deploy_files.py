"""`deploy/kuberay.yaml` and the cluster's part of `compose.yaml`, against the schemas of those who read them."""

import shlex
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from app.cluster.replica import NAME, Size, application
from app.config import Settings
from tests.conftest import ROOT

KUBERNETES = "1.32"
GROUP = {
    "type": "object",
    "additionalProperties": False,
    "required": ["rayStartParams", "template"],
    "properties": {
        "groupName": {"type": "string"},
        **{name: {"type": "integer", "minimum": 0} for name in ("replicas", "minReplicas", "maxReplicas")},
        "rayStartParams": {"type": "object", "additionalProperties": {"type": "string"}},
        "template": {"type": "object"},
    },
}
RAY_SERVICE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["serveConfigV2", "rayClusterConfig"],
    "properties": {
        "serveConfigV2": {"type": "string"},
        "rayClusterConfig": {
            "type": "object",
            "additionalProperties": False,
            "required": ["headGroupSpec"],
            "properties": {
                "rayVersion": {"type": "string"},
                "enableInTreeAutoscaling": {"type": "boolean"},
                "gcsFaultToleranceOptions": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["redisAddress"],
                    "properties": {"redisAddress": {"type": "string"}},
                },
                "headGroupSpec": GROUP,
                "workerGroupSpecs": {
                    "type": "array",
                    "items": {**GROUP, "required": [*GROUP["required"], "groupName", "minReplicas", "maxReplicas"]},
                },
            },
        },
    },
}
"""The members of KubeRay's RayService (ray.io/v1) that are used here, with the types of its own definition."""


@pytest.fixture(scope="module")
def manifests() -> dict[str, Any]:
    documents = yaml.safe_load_all((ROOT / "deploy" / "kuberay.yaml").read_text(encoding="utf-8"))
    return {document["kind"]: document for document in documents}


def groups(manifests: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = manifests["RayService"]["spec"]["rayClusterConfig"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


@pytest.mark.parametrize("kind", ["Secret", "Service"])
def test_kubernetes_own_kinds_are_as_kubernetes_has_them(manifests: dict[str, Any], kind: str) -> None:
    kubernetes_validate.validate(manifests[kind], KUBERNETES, strict=True)


def test_the_ray_service_is_as_kuberay_has_it_and_its_pods_as_kubernetes_does(manifests: dict[str, Any]) -> None:
    service = manifests["RayService"]
    assert (service["apiVersion"], set(service)) == ("ray.io/v1", {"apiVersion", "kind", "metadata", "spec"})
    jsonschema.validate(service["spec"], RAY_SERVICE)
    for group in groups(manifests):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, **group["template"]}
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def test_serve_s_config_is_as_ray_has_it_and_deploys_our_application(manifests: dict[str, Any]) -> None:
    config = ServeDeploySchema.model_validate(yaml.safe_load(manifests["RayService"]["spec"]["serveConfigV2"]))
    (deployed,) = config.applications
    assert (deployed.name, deployed.import_path, deployed.route_prefix) == (
        NAME,
        f"{application.__module__}:application",
        None,
    )
    size = Size.model_validate(deployed.args)
    networks = next(group for group in groups(manifests) if group.get("groupName") == "networks")
    assert (networks["minReplicas"], networks["maxReplicas"]) == (size.min_replicas, size.max_replicas)


def test_the_manifest_names_the_ray_that_is_installed_and_only_settings_that_there_are(
    manifests: dict[str, Any],
) -> None:
    pinned = f"ray[serve,data]=={manifests['RayService']['spec']['rayClusterConfig']['rayVersion']}"
    assert pinned in (ROOT / "requirements-cluster.txt").read_text().split()
    names = {name.upper() for name in Settings.model_fields}
    assert set(manifests["Secret"]["stringData"]) <= names
    for group in groups(manifests):
        for container in group["template"]["spec"]["containers"]:
            assert {one["name"] for one in container.get("env", [])} <= names


def test_the_service_leads_to_the_pods_that_serve_pages(manifests: dict[str, Any]) -> None:
    web = next(group["template"] for group in groups(manifests) if group.get("groupName") == "web")
    assert manifests["Service"]["spec"]["selector"].items() <= web["metadata"]["labels"].items()
    assert [port["name"] for port in web["spec"]["containers"][0]["ports"]] == [
        port["targetPort"] for port in manifests["Service"]["spec"]["ports"]
    ]


@pytest.mark.parametrize("name", ["first", "further"])
def test_a_host_of_the_cluster_is_as_locked_as_one_machine_s_container(name: str) -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    for kept in ("read_only", "cap_drop", "security_opt", "init", "stop_grace_period", "tmpfs"):
        assert services[name][kept] == services["wanwu"][kept]
    shell, option, script = shlex.split(services[name]["command"])
    assert (shell, option) == ("sh", "-c")
    assert script.endswith("&& exec python -m app serve")
    own = {"HEAD", "RAY_REDIS_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_USAGE_STATS_ENABLED"}
    assert set(services[name]["environment"]) - own <= {one.upper() for one in Settings.model_fields}
    assert services[name]["profiles"] == ["cluster"]
