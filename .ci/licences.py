"""Whose work we ship, and under which licence: `make licences` prints it. Runtime dependencies, direct or not."""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
ROOT, EXTRAS = "millm-inference", {"sae", "cuda"}
# GPL and AGPL would bind whoever ships them; "weak" licences bind their own files only.
FORBIDDEN = re.compile(r"\bA?GPL|SSPL|BUSL|Commons Clause|UNKNOWN|UNLICENSED", re.IGNORECASE)
# Named in the package's own LICENSE file, and nowhere in its manifest.
READ_BY_HAND = {"seq-queue": "MIT"}
ALLOWED_NONETHELESS = re.compile(r"\bLGPL|Lesser General Public", re.IGNORECASE)


@dataclass(frozen=True, order=True)
class Package:
    name: str
    version: str
    licence: str


def forbidden(licence: str) -> bool:
    """One that must not be shipped; where there is a choice, one of the alternatives is enough."""
    choices = re.split(r"\s+OR\s+", licence.strip("()"))
    return all(FORBIDDEN.search(choice) and not ALLOWED_NONETHELESS.search(choice) for choice in choices)


def python_packages() -> list[Package]:
    return sorted(Package(d.name, d.version, _python_licence(d)) for d in _closure(ROOT))


def _closure(root: str) -> Iterator[importlib.metadata.Distribution]:
    seen, queue = set(), [(root, EXTRAS)]
    while queue:
        name, extras = queue.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in seen:
            continue
        seen.add(key)
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # of an extra, or for another system
        if key != root:
            yield found
        for requirement in found.requires or []:
            wanted = re.match(r"[\w.-]+", requirement)
            extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", requirement)
            if wanted and (extra is None or extra[1] in extras):
                chosen = re.match(r"[\w.-]+\s*\[(.*?)\]", requirement)
                queue.append((wanted[0], set(re.findall(r"[\w-]+", chosen[1] if chosen else ""))))


def _python_licence(found: importlib.metadata.Distribution) -> str:
    meta = found.metadata
    classifiers = [c.split(" :: ")[-1] for c in meta.get_all("Classifier", []) if c.startswith("License :: OSI")]
    text = meta.get("License-Expression") or " OR ".join(classifiers) or (meta.get("License") or "").split("\n")[0]
    return text.strip()[:60] or "UNKNOWN"


def node_packages() -> list[Package]:
    """Of the gateway, and what the dashboard is built from: all that the lock file does not call development."""
    lock = json.loads((REPOSITORY / "package-lock.json").read_text())["packages"]
    found = set()
    for path, entry in lock.items():
        if not path.startswith("node_modules/") or entry.get("dev") or entry.get("link"):
            continue
        manifest = REPOSITORY / path / "package.json"
        declared = json.loads(manifest.read_text()) if manifest.exists() else entry
        name = path.rsplit("node_modules/", 1)[1]
        licence = declared.get("license") or entry.get("license") or READ_BY_HAND.get(name, "UNKNOWN")
        if entry.get("optional") and not manifest.exists():
            continue  # for another system
        text = licence if isinstance(licence, str) else licence.get("type", "UNKNOWN")
        found.add(Package(name, entry.get("version", ""), text))
    return sorted(found)


def main() -> int:
    for title, packages in (("Python", python_packages()), ("Node", node_packages())):
        print(f"## {title}\n")
        for package in packages:
            print(f"- {package.name} {package.version}: {package.licence}")
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
