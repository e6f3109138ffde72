"""`make audit` finds what it is for: a planted secret, a licence that binds, packages with an advisory."""

from __future__ import annotations

import gzip
import importlib.metadata
import json
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / ".ci"))

audit = pytest.importorskip("audit")
from licences import forbidden  # noqa: E402  (.ci is no package)

needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm here")


@pytest.fixture
def repository(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)

    def planted(name, text):
        (tmp_path / name).write_text(text)
        subprocess.run(["git", "-C", tmp_path, "add", name], check=True)
        return audit.secrets(tmp_path)

    return planted


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE\n",
        "token = 'hf_" + "a1B2" * 8 + "xy'\n",
        "key: millm-" + "Ab3_" * 10 + "xyz\n",
        "aws = 'AKIA" + "IOSFODNN7EXAMPLQ'\n",
        "url = 'https://somebody:" + "hunter2@example.org'\n",
    ],
    ids=["private key", "hub token", "our own key", "aws", "password in a url"],
)
def test_a_planted_secret_is_found(repository, text):
    assert repository("planted.txt", text) != []


def test_an_ordinary_file_is_not(repository):
    assert (
        repository("ordinary.txt", "model: HuggingFaceTB/SmolLM2-135M-Instruct\nhash: 0af7651916cd43dd8448eb21\n") == []
    )


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("MIT", False),
        ("(MIT OR GPL-3.0)", False),
        ("LGPL-3.0", False),
        ("GPL-3.0-only", True),
        ("AGPL-3.0", True),
        ("UNKNOWN", True),
    ],
)
def test_licences_that_bind_are_refused(licence, expected):
    assert forbidden(licence) is expected


class Advisories(BaseHTTPRequestHandler):
    """What the npm registry and OSV answer about `bad`, a package and a version."""

    bad: ClassVar[dict[str, str]] = {}

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        asked = json.loads(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
        if self.path.endswith("/advisories/bulk"):
            self.answer({name: [self.advisory(name)] for name in self.bad if name in asked})
        elif self.path.endswith("/query"):
            name = asked["package"]["name"]
            self.answer({"vulns": [self.vulnerability(name)]} if self.bad.get(name) == asked["version"] else {})
        else:
            self.answer({}, 404)

    def do_GET(self):
        self.answer({}, 404)

    def advisory(self, name):
        about = {"id": 1, "url": "https://example.org/1", "title": "planted", "severity": "high"}
        return {**about, "vulnerable_versions": self.bad[name], "cwe": [], "cvss": {"score": 8, "vectorString": None}}

    def vulnerability(self, name):
        affected = {"package": {"name": name, "ecosystem": "PyPI"}, "versions": [self.bad[name]]}
        return {"id": "PYSEC-0000-1", "summary": "planted", "aliases": [], "affected": [affected]}

    def answer(self, body, status=200):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture
def advisories(monkeypatch):
    """→ a function that starts such a server and points both tools to it."""
    servers = []

    def serve(**bad):
        handler = type("Planted", (Advisories,), {"bad": bad})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        point(monkeypatch, server.server_port)

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def point(monkeypatch, port):
    base = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("npm_config_registry", base)
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    monkeypatch.setenv("PIP_AUDIT_VULNERABILITY_SERVICE", "osv")
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", f"{base}/v1/query")


@needs_npm
def test_a_known_bad_npm_package_fails_the_audit_and_good_ones_pass(advisories):
    advisories(fastify="<99")
    assert "npm: fastify: high" in audit.npm_audit()
    advisories(fastify="<1")
    assert audit.npm_audit() == []


def test_a_known_bad_python_package_fails_the_audit_and_good_ones_pass(advisories):
    version = importlib.metadata.version("fastapi")
    advisories(fastapi=version)
    assert audit.pip_audit() == [f"pip: fastapi {version}: PYSEC-0000-1"]
    advisories(fastapi="0.0.1")
    assert audit.pip_audit() == []


@needs_npm
def test_where_advisories_cannot_be_reached_the_audit_says_so_and_the_strict_one_fails(monkeypatch, capsys):
    point(monkeypatch, 9)  # nobody listens there
    only = {name: audit.CHECKS[name] for name in ("npm audit", "pip-audit")}
    monkeypatch.setattr(audit, "CHECKS", only)
    assert audit.main() == 0
    assert capsys.readouterr().out.count("skipped, ") == 2
    monkeypatch.setattr(audit, "STRICT", True)
    assert audit.main() == 1


def test_a_finding_fails_make_check(monkeypatch, capsys):
    monkeypatch.setattr(audit, "CHECKS", {"npm audit": lambda: ["npm: fastify: high"]})
    assert audit.main() == 1
    assert "npm: fastify: high" in capsys.readouterr().out
