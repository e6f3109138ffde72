"""Checks that explain themselves: what a start needs from the machine, each failure one sentence.

Standard library only, and no syntax newer than Python 3.7, so that an old interpreter reaches its own refusal.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

MIN_PYTHON = (3, 11)
MIN_NODE = (22, 19)
GATEWAY_PORT = 8000
INFERENCE_PORT = 8100
SET_UP_BYTES = 6_000_000_000
RUN_BYTES = 2_000_000_000


class PreflightError(Exception):
    """Why the start is refused, in one sentence for a person."""


def check_python(version=tuple(sys.version_info[:3])):
    if version[:2] < MIN_PYTHON:
        found = ".".join(str(part) for part in version)
        raise PreflightError(
            f"miLLM needs Python 3.11 or newer and found {found}; install one (Debian: apt install python3 "
            "python3-venv) or name it: make PYTHON=/path/to/python3.11."
        )


def check_venv():
    try:
        import ensurepip  # noqa: F401  # Debian ships it apart from Python, in python3-venv
    except ImportError:
        raise PreflightError(
            f"{sys.executable} cannot make virtual environments; install its venv module "
            "(Debian: apt install python3-venv)."
        ) from None


def check_npm():
    if shutil.which("npm") is None:
        raise PreflightError("npm is missing; install Node.js with npm (Debian: apt install npm).")


def find_node(repository):
    """A Node that runs TypeScript as it is: the system's, or the one that `make` keeps for itself."""
    kept = sorted(Path(repository).glob(".cache/node/node_modules/node-*/bin/node"))
    candidates = [shutil.which("node"), *map(str, kept)]
    for candidate in filter(None, candidates):
        if _node_version(candidate) >= MIN_NODE:
            return candidate
    raise PreflightError("Node 22.19 or newer is needed; `make setup` brings one, `make demo` too.")


def _node_version(node):
    try:
        text = subprocess.run([node, "--version"], stdout=subprocess.PIPE, timeout=30, check=True).stdout.decode()
        return tuple(int(part) for part in text.strip().lstrip("v").split(".")[:2])
    except (OSError, ValueError, subprocess.SubprocessError):
        return (0, 0)


def check_disk(folder, needed_bytes=RUN_BYTES):
    existing = Path(folder).resolve()
    while not existing.exists():
        existing = existing.parent
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < needed_bytes:
        raise PreflightError(
            f"The disk is too full: {existing} has {free_bytes / 1e9:.1f} GB free "
            f"and this needs {needed_bytes / 1e9:.0f} GB."
        )


def port_from(env, variable, default):
    text = env.get(variable) or str(default)
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise PreflightError(f"{variable} must be a port between 1 and 65535, not {text!r}.")
    return int(text)


def check_port(port, variable, owner, host="127.0.0.1"):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the programs themselves do, or a connection of the last run still closing would read as "in use".
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            raise PreflightError(f"This user may not open port {port}; choose another: {variable}=8080.") from None
        except OSError:
            raise PreflightError(
                f"Port {port}, wanted by the {owner}, is in use; stop the program that holds it or choose "
                f"another port: make demo {variable}={port + 1 if port < 65535 else port - 1}."
            ) from None


def check_ports(env):
    gateway = port_from(env, "PORT", GATEWAY_PORT)
    inference = port_from(env, "MILLM_INFERENCE_PORT", INFERENCE_PORT)
    if gateway == inference:
        raise PreflightError(f"PORT and MILLM_INFERENCE_PORT are both {gateway}; they must differ.")
    check_port(gateway, "PORT", "gateway")
    check_port(inference, "MILLM_INFERENCE_PORT", "sidecar")
    return gateway, inference


def main(argv=None):
    parser = argparse.ArgumentParser(description="Check what this machine lacks, before anything is installed.")
    parser.add_argument("--set-up", action="store_true", help="also what installing needs: venv, npm, disk")
    parser.add_argument("--ports", action="store_true", help="also that the ports are free")
    arguments = parser.parse_args(argv)
    try:
        check_python()
        if arguments.set_up:
            check_venv()
            check_npm()
            check_disk(".", SET_UP_BYTES)
        if arguments.ports:
            check_ports(os.environ)
    except PreflightError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
