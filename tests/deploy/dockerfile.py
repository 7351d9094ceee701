"""Reads a Dockerfile, and replays an install step of it in an empty folder."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Stage:
    """What one FROM begins."""

    name: str
    of: str
    """The stage or image that it stands on."""
    steps: list[tuple[str, str]] = field(default_factory=list)
    """Instructions, each with what follows it on its line."""

    def all(self, instruction: str) -> list[str]:
        return [text for each, text in self.steps if each == instruction]


def read_stages(dockerfile: Path) -> dict[str, Stage]:
    """The stages by name, in their order."""
    lines = [
        line
        for line in dockerfile.read_text(encoding="utf-8").splitlines()
        if not line.lstrip().startswith("#")
    ]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    stages: dict[str, Stage] = {}
    current: Stage | None = None
    for line in filter(None, map(str.strip, joined.splitlines())):
        instruction, _, text = line.partition(" ")
        if instruction == "FROM":
            of, _, name = text.partition(" AS ")
            current = stages[name] = Stage(name, of)
        elif current:
            current.steps.append((instruction, text.strip()))
    return stages


def chain(stages: dict[str, Stage], target: str) -> list[Stage]:
    """A target and what it stands on, the lowest first."""
    found = []
    while target in stages:
        found.append(stages[target])
        target = stages[target].of
    return found[::-1]


def replay(stages: dict[str, Stage], target: str, root: Path, context: Path) -> None:
    """Does what the target's WORKDIR, COPY and RUN say, with `root` as the root of the machine.

    Commands find this machine's Python, and a pip beside it. Only /app and /src are meant in them.
    """
    tools = root / "tools"
    subprocess.run([sys.executable, "-m", "venv", tools], check=True)
    folder = root
    for stage in chain(stages, target):
        for instruction, text in stage.steps:
            if instruction == "WORKDIR":
                folder = root / text.lstrip("/")
                folder.mkdir(parents=True, exist_ok=True)
            elif instruction == "COPY":
                assert not text.startswith("--"), text
                *sources, goal = text.split()
                for source in sources:
                    _copy(context / source, folder / goal)
            elif instruction == "RUN":
                command = re.sub(r"(?<![\w./])/(app|src)\b", rf"{root}/\1", text)
                subprocess.run(
                    ["bash", "-ec", command],
                    cwd=folder,
                    env={"PATH": f"{tools}/bin:/usr/bin:/bin", "HOME": str(root)},
                    check=True,
                )
            else:
                raise AssertionError(f"{instruction} in an install step")


def _copy(source: Path, goal: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, goal, ignore=shutil.ignore_patterns("__pycache__"))
    elif goal.is_dir():
        shutil.copy(source, goal)
    else:
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, goal)


def bytes_in(path: Path) -> int:
    """Of all files under a folder, or of one file; what a link points to is counted where it is."""
    files = [path] if path.is_file() else path.rglob("*")
    return sum(each.stat().st_size for each in files if each.is_file() and not each.is_symlink())
