"""Compose files and Kubernetes manifests against their published schemas, and against what the programs read."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.deploy.dockerfile import REPOSITORY
from tests.test_env_example import gateway_settings, sidecar_settings

DEPLOY = REPOSITORY / "docs" / "deploy"
TOOLS = Path(sys.executable).parent
COMPOSE = [REPOSITORY / "docker-compose.yml", *sorted(DEPLOY.glob("docker-compose.*.yml"))]
MANIFESTS = sorted(p for p in (DEPLOY / "kubernetes" / "base").glob("*.yaml") if p.name != "kustomization.yaml")
SETTINGS = gateway_settings().keys() | sidecar_settings().keys()


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def documents(*files):
    return [d for file in files for d in yaml.safe_load_all(file.read_text()) if d]


def test_compose_files_keep_to_the_specification():
    run(TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", *COMPOSE)


def test_services_start_in_order_on_pinned_images_and_are_checked():
    services = yaml.safe_load(COMPOSE[0].read_text())["services"]
    assert services["gateway"]["depends_on"] == {
        name: {"condition": "service_healthy"} for name in ("postgres", "redis", "inference")
    }
    for file in COMPOSE:
        for name, service in yaml.safe_load(file.read_text())["services"].items():
            image = service.get("image")
            assert image is None or re.search(r":v?\d+\.\d+(\.\d+)?", image), f"{name}: {image}"
            if "build" in service and "dockerfile" in service["build"]:
                dockerfile = (REPOSITORY / service["build"]["dockerfile"]).read_text()
                assert "HEALTHCHECK" in dockerfile
            elif file is COMPOSE[0]:
                assert "healthcheck" in service
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("${BIND:-127.0.0.1}:") for port in published)


def test_what_compose_sets_and_mounts_is_read_and_there():
    for file in COMPOSE:
        for name, service in yaml.safe_load(file.read_text())["services"].items():
            if name in ("gateway", "inference"):
                assert set(service.get("environment", {})) <= SETTINGS
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                assert not source.startswith(".") or (REPOSITORY / source).exists(), source


@pytest.fixture(scope="module")
def objects():
    return {(d["kind"], d["metadata"]["name"]): d for d in documents(*MANIFESTS)}


def test_manifests_keep_to_the_schemas_of_kubernetes():
    assert "passed" in run(TOOLS / "kubernetes-validate", "--strict", *MANIFESTS)


def test_kustomizations_name_their_files_and_render():
    for folder in (DEPLOY / "kubernetes").iterdir():
        kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
        assert all((folder / name).exists() for name in kustomization["resources"])
        assert {image["name"] for image in kustomization.get("images", [])} <= {"millm-gateway", "millm-inference"}
        if shutil.which("kubectl"):
            rendered = list(yaml.safe_load_all(run("kubectl", "kustomize", folder)))
            assert {d["metadata"].get("namespace", kustomization["namespace"]) for d in rendered} == {
                kustomization["namespace"]
            }
    assert {p.name for p in MANIFESTS} <= set(
        yaml.safe_load((DEPLOY / "kubernetes" / "base" / "kustomization.yaml").read_text())["resources"]
    )


def containers(objects):
    for (kind, _), d in objects.items():
        if kind in ("Deployment", "StatefulSet"):
            pod = d["spec"]["template"]["spec"]
            yield from itertools.product([pod], pod["containers"])


def test_pods_have_no_rights_that_they_do_not_need(objects):
    found = list(containers(objects))
    assert len(found) == 2
    for pod, container in found:
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "limits" in container["resources"]
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()


def test_manifests_agree_with_images_services_and_settings(objects):
    for pod, container in containers(objects):
        dockerfile = (REPOSITORY / f"Dockerfile.{container['name']}").read_text()
        assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" in dockerfile
        assert f"EXPOSE {container['ports'][0]['containerPort']}" in dockerfile
        service = objects["Service", container["name"]]
        assert service["spec"]["selector"] == {"app.kubernetes.io/name": container["name"]}
        assert {variable["name"] for variable in container["env"]} <= SETTINGS | {"HOME"}
        volumes = {v["name"] for v in pod["volumes"]} | {"models"}
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    assert objects["ConfigMap", "millm"]["data"].keys() <= SETTINGS
    sidecar = objects["StatefulSet", "inference"]["spec"]
    assert sidecar["replicas"] == 1
    assert sidecar["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    grace = int(objects["ConfigMap", "millm"]["data"]["MILLM_SHUTDOWN_GRACE_S"])
    for kind, name in (("Deployment", "gateway"), ("StatefulSet", "inference")):
        assert objects[kind, name]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > grace + 10


def test_monitoring_scrapes_both_programs_and_shows_the_dashboard():
    scraped = yaml.safe_load((DEPLOY / "monitoring" / "prometheus.yml").read_text())["scrape_configs"]
    targets = [target for job in scraped for entry in job["static_configs"] for target in entry["targets"]]
    assert targets == ["gateway:8000", "inference:8100"]
    mounted = yaml.safe_load((DEPLOY / "docker-compose.monitoring.yml").read_text())["services"]["grafana"]["volumes"]
    folder = documents(DEPLOY / "monitoring" / "grafana" / "dashboards.yml")[0]["providers"][0]["options"]["path"]
    assert f"./docs/deploy/grafana:{folder}:ro" in mounted
