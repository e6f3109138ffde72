"""How much room there is: on the disk of a directory that may not exist yet, and in the memory models load into."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")


def disk_free(directory: Path) -> int:
    place = directory.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def memory_free(cgroup: Path = CGROUP) -> int:
    """Of the machine, or of the container if that has less."""
    free = int(psutil.virtual_memory().available)
    limit, used = _number(cgroup / "memory.max"), _number(cgroup / "memory.current")
    if limit is None or used is None:
        return free
    return max(0, min(free, limit - used + _cached(cgroup / "memory.stat")))


def human(size: int) -> str:
    """1.5 GB; decimal, as disks and the hub count."""
    number, unit = float(size), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if number < 1000:
            break
        number, unit = number / 1000, larger
    return f"{number:.0f} {unit}" if unit == "bytes" or number >= 100 else f"{number:.1f} {unit}"


def _cached(place: Path) -> int:
    """Files read once, like fresh downloads: counted as used, given back on demand."""
    try:
        lines = dict(line.split(" ", 1) for line in place.read_text().splitlines())
        return int(lines.get("inactive_file", 0))
    except (OSError, ValueError):
        return 0


def _number(place: Path) -> int | None:
    try:
        return int(place.read_text())
    except (OSError, ValueError):  # "max" is no limit
        return None
