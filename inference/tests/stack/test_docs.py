"""The Python blocks of docs/steering.md, run in order in one session against the real stack."""

from __future__ import annotations

import re

import pytest

from tests.stack.conftest import REPOSITORY

pytestmark = pytest.mark.demo
PAGE = REPOSITORY / "docs" / "steering.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_every_example_of_the_steering_page_runs(stack):
    blocks = BLOCK.findall(PAGE.read_text("utf-8"))
    assert len(blocks) >= 8
    session: dict[str, object] = {}
    for number, block in enumerate(blocks):
        code = block.replace("http://localhost:8000", stack.base)
        try:
            exec(compile(code, f"{PAGE.name}, block {number + 1}", "exec"), session)
        except Exception as error:
            pytest.fail(f"block {number + 1} failed: {error!r}\n{block}")
    assert session["plain"] != session["steered"]
