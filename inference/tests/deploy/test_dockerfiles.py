"""The images, as far as they can be known without an engine: linted, their paths and commands checked, their steps
played where MILLM_TEST_IMAGE_STEPS asks for it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.deploy.dockerfile import REPOSITORY, Player, defaults, in_context, read, sources
from tests.stack.conftest import free_port

FILES = sorted(REPOSITORY.glob("Dockerfile.*"))
TOOLS = Path(sys.executable).parent
ids = [file.name for file in FILES]


@pytest.mark.parametrize("file", FILES, ids=ids)
def test_hadolint_has_nothing_to_say(file):
    done = subprocess.run([TOOLS / "hadolint", file], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


@pytest.mark.parametrize("file", FILES, ids=ids)
def test_it_has_stages_a_user_a_check_and_pinned_bases(file):
    stages, arguments = read(file), defaults(file)
    assert len(stages) >= 2
    final = stages[-1]
    user = final.all("USER")[-1]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "not root, and a number that Kubernetes can see"
    assert final.all("HEALTHCHECK")
    assert json.loads(final.all("CMD")[-1])
    names = {stage.name for stage in stages}
    for stage in stages:
        base = re.sub(r"\$\{(\w+)\}", lambda found: arguments[found[1]], stage.base)
        assert base in names or re.search(r":\d+\.\d+\.\d+[\w.-]*$", base), f"{base} is not pinned"


@pytest.mark.parametrize("file", FILES, ids=ids)
def test_what_it_copies_is_there_and_reaches_the_build(file):
    stages = {stage.name: stage for stage in read(file)}
    copied = [sources(text) for stage in stages.values() for text in stage.all("COPY")]
    assert len(copied) > 3
    for origin, what, _ in copied:
        for name in what:
            if origin is None:
                assert (REPOSITORY / name).exists(), name
                assert in_context(name), f"{name} is kept out by .dockerignore"
            else:
                assert origin in stages


def test_what_it_runs_exists():
    text = (REPOSITORY / "Dockerfile.gateway").read_text()
    for script, package in re.findall(r"npm run ([\w:]+) -w (\w+)", text):
        assert script in json.loads((REPOSITORY / package / "package.json").read_text())["scripts"]
    text = (REPOSITORY / "Dockerfile.inference").read_text()
    for script in re.findall(r"python (demo/[\w/]+\.py)", text):
        assert (REPOSITORY / "inference" / script).is_file()
    for kept_out in (".git/config", "data/db", "gateway/node_modules/x.js", "inference/.venv/bin/python", ".env"):
        assert not in_context(kept_out)


def test_images_and_the_repository_agree_on_versions():
    node = defaults(REPOSITORY / "Dockerfile.gateway")["NODE_IMAGE"]
    assert node.startswith(f"node:{(REPOSITORY / '.nvmrc').read_text().strip()}.")
    pinned = re.search(r'"(torch==[\d.]+)"', (REPOSITORY / "inference" / "pyproject.toml").read_text())
    torch = defaults(REPOSITORY / "Dockerfile.inference")["TORCH"]
    assert pinned is not None
    assert torch == pinned[1]
    assert torch in (REPOSITORY / "docker-compose.yml").read_text()
    assert torch in (REPOSITORY / "Makefile").read_text()


@pytest.mark.slow
@pytest.mark.skipif("MILLM_TEST_IMAGE_STEPS" not in os.environ, reason="installs everything again: minutes")
def test_the_gateways_steps_give_a_gateway_that_serves_the_dashboard(tmp_path):
    player = Player(REPOSITORY / "Dockerfile.gateway", tmp_path)
    player.play()
    app, port = player.inside("final", "."), free_port()
    # of the project it was made from nothing is reachable: the module folder is the image's own
    assert not (app / "node_modules" / "vitest").exists()
    environment = {"PATH": os.environ["PATH"], "PORT": str(port), "MILLM_DATA_DIR": str(tmp_path / "data")}
    with subprocess.Popen(player.command(), cwd=app, env=environment) as process:
        try:
            base = f"http://127.0.0.1:{port}"
            assert wait(f"{base}/api/health/live").json() == {"status": "alive"}
            assert "<script" in httpx.get(f"{base}/").text
        finally:
            process.terminate()


def wait(url, timeout=60):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            return httpx.get(url, timeout=5)
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"{url} did not answer")


@pytest.mark.slow
@pytest.mark.skipif("MILLM_TEST_IMAGE_STEPS" not in os.environ, reason="installs everything again: minutes")
def test_the_sidecars_steps_give_a_sidecar_that_serves_the_demo_with_what_the_image_installs_alone(tmp_path):
    player = Player(REPOSITORY / "Dockerfile.inference", tmp_path)
    player.play()
    python = player.inside("final", "/opt/venv/bin/python")
    listed = subprocess.run([python, "-m", "pip", "list", "--format=json"], capture_output=True, check=True).stdout
    installed = {package["name"]: package["version"] for package in json.loads(listed)}
    assert installed["torch"].split("+")[0] == player.arguments["TORCH"].split("==")[1]
    assert not {"pytest", "mypy", "ruff"} & installed.keys(), "nothing of ours for development"
    port = free_port()
    environment = {**player.environment["final"], "PATH": f"{python.parent}:{os.environ['PATH']}"}
    environment |= {"HOME": str(tmp_path), "MILLM_INFERENCE_HOST": "127.0.0.1", "MILLM_INFERENCE_PORT": str(port)}
    with subprocess.Popen(player.command(), cwd=player.inside("final", "."), env=environment) as process:
        try:
            base = f"http://127.0.0.1:{port}"
            assert wait(f"{base}/health").json()["status"] == "ok"
            assert healthy(player, environment, port)
            model = json.loads((player.inside("final", "/models/demo/bootstrap.json")).read_text())["models"][0]
            ask = {"model_id": "demo", "path": model["path"]}
            assert httpx.post(f"{base}/models/load", json=ask, timeout=300).status_code == 200
            sae = {"sae_id": "demo", "path": str(player.inside("final", "/models/demo/sae"))}
            assert httpx.post(f"{base}/saes/attach", json=sae, timeout=60).status_code == 200
            body = {"request_id": "r", "model_id": "demo", "prompt": {"type": "text", "text": "The sea"}}
            body["sampling"] = {"temperature": 0, "max_tokens": 4}
            assert '"type":"done"' in httpx.post(f"{base}/generate", json=body, timeout=60).text
        finally:
            process.terminate()
    assert not healthy(player, environment, port)


def healthy(player, environment, port):
    """What the image's health check says."""
    command = json.loads(player.stages[-1].all("HEALTHCHECK")[-1].split("CMD", 1)[1])
    words = [word.replace(":8100/", f":{port}/") for word in command]
    return subprocess.run(words, env=environment, capture_output=True, check=False).returncode == 0
