"""`make audit` finds what it is for: a planted secret and a licence that binds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / ".ci"))

audit = pytest.importorskip("audit")
from licences import forbidden  # noqa: E402  (.ci is no package)


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
