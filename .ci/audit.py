"""`make check`'s look at what we depend on and what we keep: known vulnerabilities, secrets, licences.

What needs an advisory database is skipped with a note where none can be reached; AUDIT=strict makes that a failure.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from licences import forbidden, node_packages, python_packages

REPOSITORY = Path(__file__).resolve().parents[1]
TOOLS = Path(sys.executable).parent
STRICT = os.environ.get("AUDIT") == "strict"
NPM_LEVEL = "high"
# Entropy says nothing here: ids of models and hashes of files are everywhere. What is issued by somebody has a form.
NO_PLUGINS = ("Base64HighEntropyString", "HexHighEntropyString", "KeywordDetector")
EXAMPLES = r"millm:(millm|secret)@|millm:\$\{POSTGRES|millm_ci:millm_ci@"
OWN_SECRETS = re.compile(r"hf_[A-Za-z0-9]{34}|millm-[\w-]{43}|sk-[A-Za-z0-9]{40,}")


class Skipped(Exception):
    """No advisory database can be reached."""


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=240)


def npm_audit() -> list[str]:
    done = run("npm", "audit", "--json", f"--audit-level={NPM_LEVEL}", "--omit=dev")
    report = json.loads(done.stdout or "{}")
    if "vulnerabilities" not in report:
        raise Skipped("the npm registry answers no audits here")
    grave = {"high", "critical"}
    return [f"npm: {name}: {v['severity']}" for name, v in report["vulnerabilities"].items() if v["severity"] in grave]


def pip_audit() -> list[str]:
    done = run(TOOLS / "pip-audit", "--format", "json", "--progress-spinner", "off", "--skip-editable")
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (json.JSONDecodeError, KeyError):
        raise Skipped("PyPI's advisories cannot be reached") from None
    if all("skip_reason" in package for package in packages):
        raise Skipped("this package index has no advisories")
    return [
        f"pip: {package['name']} {package['version']}: {', '.join(v['id'] for v in package['vulns'])}"
        for package in packages
        if package.get("vulns")
    ]


def secrets(root: Path = REPOSITORY) -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True)
    files = [name for name in listed.stdout.split("\0") if name and not name.endswith("package-lock.json")]
    command = [str(TOOLS / "detect-secrets"), "scan", "--exclude-lines", EXAMPLES]
    command += [word for plugin in NO_PLUGINS for word in ("--disable-plugin", plugin)]
    done = subprocess.run([*command, *files], cwd=root, capture_output=True, text=True, check=True)
    results = json.loads(done.stdout)["results"]
    found = [f"{file}:{one['line_number']}: {one['type']}" for file, all_ in results.items() for one in all_]
    for name in files:
        path = root / name
        if not path.is_file() or path.stat().st_size > 1_000_000:
            continue
        for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
            if OWN_SECRETS.search(line):
                found.append(f"{name}:{number}: looks like a key that somebody gave out")
    return found


def licences() -> list[str]:
    packages = [*python_packages(), *node_packages()]
    if len(packages) < 50:
        return ["licences: the list of packages cannot be read"]
    return [f"licence: {p.name} {p.version}: {p.licence}" for p in packages if forbidden(p.licence)]


CHECKS: dict[str, Callable[[], list[str]]] = {
    "npm audit": npm_audit,
    "pip-audit": pip_audit,
    "secrets": secrets,
    "licences": licences,
}


def main() -> int:
    failed = False
    for name, check in CHECKS.items():
        try:
            problems = check()
        except Skipped as reason:
            print(f"  {name}: skipped, {reason}")
            failed |= STRICT
            continue
        failed |= bool(problems)
        print(f"  {name}: {'nothing found' if not problems else ''}")
        for problem in problems:
            print(f"    {problem}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
