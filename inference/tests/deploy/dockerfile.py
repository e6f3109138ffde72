"""Reads a Dockerfile's stages, and plays them in folders: what can be known of an image without an engine."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
SYSTEM = ("/usr", "/bin", "/etc", "/proc", "/dev", "/sys")


@dataclass
class Stage:
    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        return [text for step, text in self.steps if step == word]


def read(path: Path) -> list[Stage]:
    """Comments dropped, continued lines joined."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    logical = "\n".join(lines).replace("\\\n", " ").splitlines()
    stages: list[Stage] = []
    for line in filter(str.strip, logical):
        word, _, text = line.strip().partition(" ")
        if word == "FROM":
            base, _, name = text.partition(" AS ")
            stages.append(Stage(name or "final", base))
        elif stages:
            stages[-1].steps.append((word, text.strip()))
    return stages


def defaults(path: Path) -> dict[str, str]:
    """Of every ARG."""
    return dict(re.findall(r"^ARG (\w+)=(.*)$", path.read_text(), re.MULTILINE))


def sources(text: str) -> tuple[str | None, list[str], str]:
    """COPY's arguments: from which stage, what, where to."""
    words = shlex.split(text)
    flags = dict(w.removeprefix("--").split("=", 1) for w in words if w.startswith("--"))
    *what, target = [w for w in words if not w.startswith("--")]
    return flags.get("from"), what, target


def in_context(path: str) -> bool:
    """Whether .dockerignore lets it into the build."""
    kept = False
    for rule in (REPOSITORY / ".dockerignore").read_text().split():
        pattern = rule.removeprefix("!").removeprefix("**/")
        parts = path.split("/")
        hits = any(fnmatch.fnmatch("/".join(parts[:n]), pattern) for n in range(1, len(parts) + 1))
        if hits or ("**/" in rule and any(fnmatch.fnmatch(part, pattern) for part in parts)):
            kept = rule.startswith("!")
    return kept


def context_files(folder: str) -> Iterator[Path]:
    """What of a folder of the repository reaches the build."""
    root = REPOSITORY / folder
    if root.is_file():
        yield root
        return
    for place, folders, files in os.walk(root):
        relative = Path(place).relative_to(REPOSITORY)
        folders[:] = [name for name in folders if in_context(str(relative / name))]
        yield from (Path(place) / name for name in files if in_context(str(relative / name)))


class Player:
    """Plays stages below `root`: absolute paths in steps are taken to be below the stage's own folder."""

    def __init__(self, dockerfile: Path, root: Path, arguments: dict[str, str] | None = None) -> None:
        self.root = root
        self.stages = read(dockerfile)
        self.arguments = {**defaults(dockerfile), **(arguments or {})}
        self.environment: dict[str, dict[str, str]] = {}
        self.workdir: dict[str, str] = {}

    def folder(self, stage: str) -> Path:
        return self.root / stage

    def inside(self, stage: str, path: str) -> Path:
        base = "" if path.startswith("/") else self.workdir[stage]
        return self.folder(stage) / f"{base}/{path}".lstrip("/")

    def play(self, *names: str) -> None:
        for stage in self.stages:
            if names and stage.name not in names:
                continue
            parent = stage.base if any(s.name == stage.base for s in self.stages) else None
            if parent:
                shutil.copytree(self.folder(parent), self.folder(stage.name), symlinks=True)
            self.folder(stage.name).mkdir(exist_ok=True, parents=True)
            self.environment[stage.name] = dict(self.environment.get(parent or "", {}))
            self.workdir[stage.name] = self.workdir.get(parent or "", "/")
            for word, text in stage.steps:
                self.step(stage.name, word, text)

    def step(self, stage: str, word: str, text: str) -> None:
        match word:
            case "WORKDIR":
                self.workdir[stage] = text
                self.inside(stage, ".").mkdir(parents=True, exist_ok=True)
            case "ENV":
                for pair in shlex.split(text):
                    name, value = pair.split("=", 1)
                    self.environment[stage][name] = value if name == "PATH" else self.moved(stage, value)
            case "COPY":
                self.copy(stage, *sources(text))
            case "RUN":
                self.run(stage, text)

    def copy(self, stage: str, origin: str | None, what: list[str], target: str) -> None:
        for name in what:
            to = self.inside(stage, target)
            if origin is not None:
                shutil.copytree(self.inside(origin, name), to, symlinks=True, dirs_exist_ok=True)
                continue
            for file in context_files(name):
                rest = file.relative_to(REPOSITORY / name)
                place = to / rest if (REPOSITORY / name).is_dir() else (to / file.name if target.endswith("/") else to)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, place)

    def moved(self, stage: str, text: str) -> str:
        """Absolute paths, except the system's own, below the stage's folder."""

        def move(found: re.Match[str]) -> str:
            path = found.group(2)
            return found.group(0) if path.startswith(SYSTEM) else f"{found.group(1)}{self.folder(stage)}{path}"

        return re.sub(r"(^|[\s=:\"'])(/[\w./-]+)", move, text)

    def run(self, stage: str, text: str) -> None:
        if "useradd" in text or "chown" in text:
            return  # users are the image's own
        environment = {**os.environ, **self.arguments, **self.environment[stage]}
        search = self.environment[stage].get("PATH", "$PATH").replace("$PATH", os.environ["PATH"])
        environment["PATH"] = self.moved(stage, search.split(":")[0]) + ":" + search
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.moved(stage, text)],
            cwd=self.inside(stage, "."),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{stage}: RUN {text}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"

    def command(self) -> list[str]:
        words: list[str] = json.loads(self.stages[-1].all("CMD")[-1])
        return words
