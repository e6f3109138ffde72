"""docs/errors.md against its two sources: the contract's list of codes and the gateway's mapping."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| \[`([A-Z_]+)`\]\(#(\S+)\) \| (\d+) \| (\d+) `(\w+)` \| (yes|no) \|$", re.MULTILINE)
BAD = re.compile(r"([A-Z_]+): bad\((\d+), (\d+), '(\w+)'\)")
UNAVAILABLE = re.compile(r"([A-Z_]+): unavailable\('(\w+)', (\d+)(?:, (\d+))?\)")
FULL = re.compile(r"([A-Z_]+): \{ api: (\d+), v1: (\d+), v1Code: '(\w+)', type: '\w+', retryAfterS: (\w+) \}")

Entry = tuple[int, int, str, str]


def documented() -> dict[str, Entry]:
    rows = ROW.findall((REPOSITORY / "docs" / "errors.md").read_text("utf-8"))
    return {code: (int(api), int(v1), v1_code, again) for code, _, api, v1, v1_code, again in rows}


def mapped() -> dict[str, Entry]:
    source = (REPOSITORY / "gateway" / "src" / "errors.ts").read_text("utf-8")
    entries: dict[str, Entry] = {c: (int(api), int(v1), name, "no") for c, api, v1, name in BAD.findall(source)}
    entries |= {c: (int(api or 503), 503, name, "yes") for c, name, _, api in UNAVAILABLE.findall(source)}
    for code, api, v1, name, retry in FULL.findall(source):
        entries[code] = (int(api), int(v1), name, "no" if retry == "null" else "yes")
    return entries


def contract_codes() -> list[str]:
    contract = (REPOSITORY / "proto" / "inference.yaml").read_text("utf-8")
    section = contract.split("\n    ErrorCode:\n", 1)[1].split("\n    ErrorBody:", 1)[0]
    return re.findall(r"^ +- ([A-Z_]+)$", section, re.MULTILINE)


def test_every_code_of_the_contract_is_explained() -> None:
    page = (REPOSITORY / "docs" / "errors.md").read_text("utf-8")
    assert len(contract_codes()) > 20
    assert [code for code in contract_codes() if f"\n### {code}\n" not in page] == []


def test_statuses_and_codes_shown_are_the_gateways() -> None:
    assert documented() == mapped()


@pytest.mark.parametrize(
    "anchor", sorted({row[1] for row in ROW.findall((REPOSITORY / "docs/errors.md").read_text("utf-8"))})
)
def test_links_in_the_table_lead_somewhere(anchor: str) -> None:
    page = (REPOSITORY / "docs" / "errors.md").read_text("utf-8")
    headings = {heading.strip().lower().replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", page, re.MULTILINE)}
    assert anchor in headings
