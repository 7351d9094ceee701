"""kill -9 at whatever moment: `current` names a whole release, and the next run does the job."""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import orjson
import pyarrow as pa
import pytest

from bioelx.release import (
    active_release,
    list_releases,
    previous_release,
    prune,
    roll_back,
    verify_release,
)

from .small import make

KILLS = 20
STEPS = """
import os, signal, sys
from pathlib import Path

def counted(function):
    def step(*args, **kwargs):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return step

def half(path, content):
    written(path, content[: len(content) // 2])
    written(path, content)

left, root = int(sys.argv[1]), Path(sys.argv[2])
for name in ("fsync", "replace", "rename", "link", "unlink", "rmdir", "mkdir"):
    setattr(os, name, counted(getattr(os, name)))
written, Path.write_bytes = counted(Path.write_bytes), half

from bioelx.release import activate, prune, roll_back
from small import make
"""
"""Dies before its n-th change to the disk: a file half written, not flushed, not renamed."""


def killed_before_step(step: int, action: str, root: Path) -> bool:
    """Whether the action got so far."""
    path = [*sys.path, str(Path(__file__).parent)]
    done = subprocess.run(
        [sys.executable, "-c", STEPS + action, str(step), str(root)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL)
    return done.returncode != 0


def all_are_whole(root: Path) -> bool:
    return all(verify_release(root / each).id == each for each in list_releases(root))


def test_an_activation_killed_before_each_of_its_steps(tmp_path: Path) -> None:
    first, second, third = (make(tmp_path, minutes) for minutes in range(3))
    for release in (first, second):
        killed_before_step(-1, f"activate({release!r}, root)", tmp_path)
    steps = 1
    while killed_before_step(steps, f"activate({third!r}, root)", tmp_path):
        assert (active_release(tmp_path), previous_release(tmp_path)) in {
            (second, first),
            (third, second),
        }
        if active_release(tmp_path) == third:  # it was the very last step
            assert roll_back(tmp_path) == second
        steps += 1
    assert steps > 8
    assert (active_release(tmp_path), previous_release(tmp_path)) == (third, second)


def test_a_release_killed_before_each_step_of_its_making(tmp_path: Path) -> None:
    make(tmp_path)
    steps = 1
    while killed_before_step(steps, "make(root, 1)", tmp_path):
        assert all_are_whole(tmp_path)
        steps += 3
    assert steps > 10
    assert all_are_whole(tmp_path)
    assert prune(tmp_path, keep=9).drafts > 1
    assert not list(tmp_path.glob(".draft-*"))


def test_a_pruning_killed_before_each_of_its_steps(tmp_path: Path) -> None:
    releases = [make(tmp_path, minutes) for minutes in range(3)]
    steps = 1
    while killed_before_step(steps, "prune(root, keep=1)", tmp_path):
        assert all_are_whole(tmp_path)
        assert releases[-1] in list_releases(tmp_path)
        steps += 1
    assert steps > 5
    assert list_releases(tmp_path) == releases[-1:]
    held = {stamp.sha256 for stamp in verify_release(tmp_path / releases[-1]).files.values()}
    assert {piece.name for piece in (tmp_path / ".pieces").iterdir()} == held
    assert not list(tmp_path.glob(".draft-*"))


@pytest.fixture
def home(
    tiny_tables: tuple[pa.Table, pa.Table],
    make_release: Callable[[pa.Table, pa.Table, Path], Path],
    tmp_path: Path,
) -> Path:
    """A BIOELX_HOME with two real releases, and a regression set that both can answer."""
    concepts, names = tiny_tables
    for release in (names, names.slice(1)):
        make_release(concepts, release, tmp_path / "releases")
    rows = names.filter(pa.compute.equal(names["lang"], "en")).slice(0, 40).to_pylist()
    (tmp_path / "rows.jsonl").write_bytes(
        b"".join(
            orjson.dumps(
                {
                    "id": str(number),
                    "language": row["lang"],
                    "mention": row["text"],
                    "expected": [row["concept_id"]],
                },
                option=orjson.OPT_APPEND_NEWLINE,
            )
            for number, row in enumerate(rows)
        )
    )
    return tmp_path


def test_activations_killed_at_random_moments(home: Path) -> None:
    root, evaluations = home / "releases", home / "evaluations"
    first, second = list_releases(root)

    def start(release: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "bioelx", "release", "activate", release],
            env={
                **os.environ,
                "BIOELX_HOME": str(home),
                "BIOELX_GATE_ROWS": str(home / "rows.jsonl"),
                "BIOELX_GATE_MARGIN": "0.2",
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(release: str) -> bytes:
        process = start(release)
        said = process.communicate()[0]
        assert process.returncode == 0, said
        assert active_release(root) == release
        return said

    run(first)
    started = perf_counter()
    assert b"mentions right" in run(second)
    seconds = perf_counter() - started

    killed = 0
    chance = random.Random(20261124)
    for kill in range(KILLS):
        shutil.rmtree(evaluations, ignore_errors=True)
        process = start(first if active_release(root) == second else second)
        try:
            process.communicate(timeout=(kill + chance.random()) * seconds / KILLS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        killed += process.returncode == -signal.SIGKILL
        active = active_release(root)
        assert active in (first, second)
        assert verify_release(root / active).id == active
        assert previous_release(root) == ({first, second} - {active}).pop()
    assert killed >= KILLS / 2
    run(first if active_release(root) == second else second)
