"""Runs test suites one after another, whatever fails, and says at the end what ran.

A suite is a make target; its counts come from the JUnit files it leaves under RESULTS.
"""

import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / ".cache" / "results"
TARGETS = {"inference": "test-inference", "demo": "test-demo", "gateway": "test-gateway", "web": "test-web", "e2e": "e2e"}


@dataclass(slots=True)
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __str__(self) -> str:
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


def read(files: list[Path]) -> Count:
    count = Count()
    for file in files:
        for case in ElementTree.parse(file).getroot().iter("testcase"):
            outcomes = {child.tag for child in case}
            if outcomes & {"failure", "error"}:
                count.failed += 1
            elif "skipped" in outcomes:
                count.skipped += 1
            else:
                count.passed += 1
    return count


def run(suite: str) -> tuple[Count, str]:
    started = time.monotonic()
    folder = RESULTS / suite
    folder.mkdir(parents=True)
    print(f"\n━━ {suite} ━━", flush=True)
    code = subprocess.run(["make", "-s", TARGETS[suite], f"RESULTS={folder}"], cwd=REPOSITORY, check=False).returncode
    count = read(sorted(folder.glob("*.xml")))
    # A suite that broke before or beside its tests (a syntax error, coverage too low) is a failure too.
    if code != 0 and count.failed == 0:
        count.failed = 1
    return count, f"{time.monotonic() - started:.0f} s"


def main(suites: list[str]) -> int:
    shutil.rmtree(RESULTS, ignore_errors=True)
    counts = {suite: run(suite) for suite in suites}
    print("\n━━ what ran ━━")
    for suite, (count, duration) in counts.items():
        nothing = "" if count.passed + count.failed else "  (skipped: see above)"
        print(f"  {suite:<10} {count} in {duration}{nothing}")
    if "gateway" in counts and not os.environ.get("MILLM_TEST_DATABASE_URL"):
        print("  the gateway ran on the embedded database only: MILLM_TEST_DATABASE_URL names no PostgreSQL")
    counted = [count for count, _ in counts.values()]
    total = Count(*(sum(getattr(count, key) for count in counted) for key in ("passed", "failed", "skipped")))
    print(f"\ntotal: {total.passed} passed, {total.failed} failed, {total.skipped} skipped", flush=True)
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(TARGETS)))
