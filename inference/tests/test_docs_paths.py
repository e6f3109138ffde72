"""The documents name files; every file they name is there."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/errors.md",
    "docs/operate.md",
    "docs/security.md",
]
NAMED = re.compile(r"`((?:gateway|inference|web|proto|prisma|docs|\.ci)/[\w./()-]*)`")
LINKED = re.compile(r"\]\(((?!http|#)[^)#]+)")
GENERATED = {"gateway/src/storage/generated/"}


@pytest.mark.parametrize("page", PAGES)
def test_every_file_a_page_names_exists(page: str) -> None:
    text = (REPOSITORY / page).read_text("utf-8")
    named = set(NAMED.findall(text)) - GENERATED
    linked = {str(Path(page).parent / link) for link in LINKED.findall(text)}
    assert sorted(name for name in named | linked if not (REPOSITORY / name).exists()) == []
