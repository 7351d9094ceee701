"""kill -9 at whatever moment: `current` names a whole release, and the next run does the job."""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from time import perf_counter

import orjson
import pyarrow as pa
import pytest

from bioelx.confidence import CONFIDENCE_FILE
from bioelx.release import (
    activate,
    active_release,
    draft_folder,
    list_releases,
    previous_release,
    prune,
    read_manifest,
    roll_back,
    verify_release,
)
from bioelx.release.manifest import MANIFEST_FILE
from bioelx.release.store import finish_release

from .small import make

KILLS = 20
STEPS = """
import os, signal, sys
from pathlib import Path
from bioelx.release import activate, prune, roll_back
from small import make

action, root = compile(sys.argv[1], "action", "exec"), Path(sys.argv[2])
written = Path.write_bytes

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
    counted(written)(path, content)

for line in sys.stdin:
    child = os.fork()
    if not child:
        left = int(line)
        for name in ("fsync", "replace", "rename", "link", "unlink", "rmdir", "mkdir"):
            setattr(os, name, counted(getattr(os, name)))
        Path.write_bytes = half
        exec(action)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Dies before its n-th change to the disk: a file half written, not flushed, not renamed."""


def kills_before_each_step(action: str, root: Path) -> Iterator[None]:
    """Runs an action again and again, killed before its first step, its second, and so on until it
    gets through; yields after each kill."""
    path = [*sys.path, str(Path(__file__).parent)]
    with subprocess.Popen(
        [sys.executable, "-c", STEPS, action, str(root)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        for step in count(1):
            print(step, file=process.stdin, flush=True)
            code = int(process.stdout.readline())
            if code == 0:
                break
            assert code == -signal.SIGKILL
            yield
        process.stdin.close()


def all_are_whole(root: Path) -> bool:
    return all(verify_release(root / each).id == each for each in list_releases(root))


def test_an_activation_killed_before_each_of_its_steps(tmp_path: Path) -> None:
    first, second, third = (make(tmp_path, minutes) for minutes in range(3))
    activate(first, tmp_path)
    activate(second, tmp_path)
    steps = 0
    for _ in kills_before_each_step(f"activate({third!r}, root)", tmp_path):
        steps += 1
        pointers = active_release(tmp_path), previous_release(tmp_path)
        assert pointers in {(second, first), (third, second)}
        if pointers[0] == third:  # only the flush of the folder was left
            assert roll_back(tmp_path) == second
            activate(first, tmp_path)
            activate(second, tmp_path)
    assert steps > 6
    assert (active_release(tmp_path), previous_release(tmp_path)) == (third, second)


def test_a_release_killed_before_each_step_of_its_making(tmp_path: Path) -> None:
    make(tmp_path)
    steps = 0
    for _ in kills_before_each_step("make(root, 1)", tmp_path):
        steps += 1
        assert all_are_whole(tmp_path)
    assert steps > 12
    assert all_are_whole(tmp_path)
    assert prune(tmp_path, keep=99).drafts > 1
    assert not list(tmp_path.glob(".draft-*"))


def test_a_pruning_killed_before_each_of_its_steps(tmp_path: Path) -> None:
    releases = [make(tmp_path, minutes) for minutes in range(3)]
    steps = 0
    for _ in kills_before_each_step("prune(root, keep=1)", tmp_path):
        steps += 1
        assert all_are_whole(tmp_path)
        assert releases[-1] in list_releases(tmp_path)
    assert steps > 3
    assert list_releases(tmp_path) == releases[-1:]
    held = {stamp.sha256 for stamp in verify_release(tmp_path / releases[-1]).files.values()}
    assert {piece.name for piece in (tmp_path / ".pieces").iterdir()} == held
    assert not list(tmp_path.glob(".draft-*"))


@pytest.fixture
def home(tiny_release: Path, tiny_tables: tuple[pa.Table, pa.Table], tmp_path: Path) -> Path:
    """A BIOELX_HOME with two real releases, and a regression set that both can answer."""
    root = tmp_path / "releases"
    for minimum in ("0.3", "0.4"):
        with draft_folder(root) as draft:
            shutil.copytree(tiny_release, draft, copy_function=os.link, dirs_exist_ok=True)
            model = (draft / CONFIDENCE_FILE).read_text()
            (draft / CONFIDENCE_FILE).unlink()
            (draft / CONFIDENCE_FILE).write_text(model.replace("0.3", minimum))
            (draft / MANIFEST_FILE).unlink()
            finish_release(draft, read_manifest(tiny_release), root)
    rows = [
        {
            "id": str(number),
            "language": "en",
            "mention": row["text"],
            "expected": [row["concept_id"]],
        }
        for number, row in enumerate(tiny_tables[1].to_pylist()[:30])
    ]
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    return tmp_path


@pytest.mark.long
@pytest.mark.timeout(3600)
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
                "BIOELX_GATE_MARGIN": "1",  # asked, and let pass: either may be a little worse
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
