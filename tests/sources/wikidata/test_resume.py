"""`bioelx pull wikidata` as a process of its own that is killed, and goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

PULL = [sys.executable, "-m", "bioelx", "pull", "wikidata", "--only-schemes", "--scheme", "mesh"]
PULL += ["--tree", "Q12136", "--scheme", "doid"]
KILLS = 5


class Puller:
    """Starts `bioelx pull wikidata`, and sends it a signal when it has asked so many questions."""

    def __init__(self, start_proxy: Callable) -> None:
        self.url = start_proxy(self._answer).url
        self._process: subprocess.Popen[str] | None = None
        self._signal_at, self._delay, self._signal = 0, 0.0, signal.SIGKILL
        self._asked = 0

    def run(
        self,
        out: Path,
        *options: str,
        signal_at: int = 0,
        delay: float = 0.0,
        sent: signal.Signals = signal.SIGKILL,
    ) -> tuple[int, str]:
        """The exit status and the output of a process that is stopped at its question number
        `signal_at`, if that is not 0, `delay` seconds after the answer."""
        self._signal_at, self._delay, self._signal, self._asked = signal_at, delay, sent, 0
        command = [*PULL, "--endpoint", self.url, "--out", str(out), *options]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with subprocess.Popen(command, **pipes) as self._process:
            printed, _ = self._process.communicate(timeout=60)
        return self._process.returncode, printed

    def _answer(self, asked: Any) -> object:
        time.sleep(0.01)
        self._asked += 1
        if self._asked == self._signal_at:
            stop = Timer(self._delay, os.kill, (self._process.pid, self._signal))
            stop.start()
            if not self._delay:
                stop.join()  # before it has its answer
        return asked.good


@pytest.fixture
def puller(proxy: Callable) -> Puller:
    return Puller(proxy)


def test_killed_at_any_moment_it_comes_to_the_same_bytes(puller: Puller, tmp_path: Path) -> None:
    status, _ = puller.run(tmp_path / "undisturbed")
    assert status == 0
    chance = random.Random(20261124)
    killed = 0
    while True:
        moment = {
            "signal_at": chance.randint(2, 4),
            "delay": chance.choice((0, chance.random() / 40)),
        }
        if killed == KILLS:
            moment = {}
        size = str(chance.randint(2, 3))
        status, printed = puller.run(tmp_path / "killed", "--page-size", size, **moment)
        if status == 0:
            break
        assert status == -signal.SIGKILL, printed
        killed += 1
    assert killed == KILLS
    assert "goes on with the pull of" in printed
    files = [tmp_path / name / "records.parquet" for name in ("undisturbed", "killed")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert sorted(path.name for path in files[1].parent.iterdir()) == [
        "lock",
        "pull.json",
        "recipe.json",
        "records.parquet",
    ]


def test_ctrl_c_says_how_to_go_on(puller: Puller, tmp_path: Path) -> None:
    options = ("--page-size", "10")
    status, printed = puller.run(tmp_path, *options, signal_at=9, sent=signal.SIGINT)
    assert status == 130
    assert printed.rstrip().endswith("Stopped. The same command goes on from here.")
    status, printed = puller.run(tmp_path, *options)
    assert status == 0
    assert "goes on with the pull of" in printed
    assert "64 items, 0 retired" in printed
    assert f"Next: bioelx build --wikidata {tmp_path}" in printed
