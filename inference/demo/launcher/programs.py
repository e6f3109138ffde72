"""Which programs make up miLLM, with which commands and settings."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from launcher.supervisor import Program

VITE_URL = "http://127.0.0.1:5173"


@dataclass(frozen=True, slots=True)
class Plan:
    repository: Path
    data_dir: Path
    node: str
    gateway_port: int
    inference_port: int
    bootstrap: Path
    is_dev: bool = False
    is_fake: bool = False


def programs_of(plan: Plan) -> list[Program]:
    """In the order in which they depend on each other: the gateway needs the sidecar."""
    return [_sidecar(plan), *([_vite(plan)] if plan.is_dev else []), _gateway(plan)]


# Both programs are asked to end sooner than the supervisor's patience does, so that open streams end in order.
def _sidecar(plan: Plan) -> Program:
    shared = {
        "MILLM_INFERENCE_PORT": str(plan.inference_port),
        "MILLM_DATA_DIR": str(plan.data_dir),
        **_log_settings(),
    }
    if plan.is_fake:
        command = (plan.node, "gateway/test/fake-inference.ts", str(plan.inference_port))
        return Program("inference", command, plan.repository, shared)
    command = (sys.executable, "-m", "millm_inference")
    grace = os.environ.get("MILLM_INFERENCE_SHUTDOWN_GRACE_S", "3")
    env = {**shared, "MILLM_INFERENCE_SHUTDOWN_GRACE_S": grace, "PYTHONUNBUFFERED": "1"}
    return Program("inference", command, plan.repository, env)


def _gateway(plan: Plan) -> Program:
    command = (plan.node, *(("--watch",) if plan.is_dev else ()), "gateway/src/server.ts")
    env = {
        "PORT": str(plan.gateway_port),
        "INFERENCE_URL": f"http://127.0.0.1:{plan.inference_port}",
        "MILLM_DATA_DIR": str(plan.data_dir),
        "MILLM_BOOTSTRAP": str(plan.bootstrap),
        "MILLM_SHUTDOWN_GRACE_S": os.environ.get("MILLM_SHUTDOWN_GRACE_S", "8"),
        **_log_settings(),
    }
    if plan.is_dev:
        env["MILLM_WEB_DEV_URL"] = VITE_URL
    return Program("gateway", command, plan.repository, env)


def _vite(plan: Plan) -> Program:
    return Program("web", ("npm", "run", "dev"), plan.repository / "web", {"PATH": _path_with(plan.node)})


def _path_with(node: str) -> str:
    return os.pathsep.join([str(Path(node).parent), os.environ.get("PATH", "")])


def _log_settings() -> dict[str, str]:
    return {"LOG_FORMAT": os.environ.get("LOG_FORMAT", "console")}
