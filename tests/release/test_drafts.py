"""Drafts: found when their build is dead, left alone while it lives."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bioelx.release import draft_folder
from bioelx.release.drafts import dead_drafts

BUILD = """
import sys
from pathlib import Path
from bioelx.release import draft_folder

with draft_folder(Path(sys.argv[1])) as draft:
    (draft / "names.arrow").write_bytes(b"half of it")
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_a_draft_is_gone_when_its_build_is_done_or_fails(tmp_path: Path) -> None:
    root = tmp_path / "releases"
    with draft_folder(root) as draft:
        (draft / "names.arrow").touch()
        assert draft.stat().st_mode == root.stat().st_mode  # others may read what it becomes
        assert dead_drafts(root) == []
        draft.rename(root / "20261123T074500Z-1a2b3c4d")
    with pytest.raises(KeyboardInterrupt), draft_folder(root):
        raise KeyboardInterrupt
    assert {path.name for path in root.iterdir()} == {".lock", "20261123T074500Z-1a2b3c4d"}


def test_only_the_draft_of_a_killed_build_is_dead(tmp_path: Path) -> None:
    build = subprocess.Popen(
        [sys.executable, "-c", BUILD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with build, draft_folder(tmp_path) as living:
        assert build.stdout
        assert build.stdout.readline() == b"writing\n"
        assert dead_drafts(tmp_path) == []
        build.send_signal(signal.SIGKILL)
        build.wait()
        [dead] = dead_drafts(tmp_path)
        assert dead != living.parent
        assert (dead / "release" / "names.arrow").read_bytes() == b"half of it"
