"""An evaluation that is stopped, in whatever way, goes on where it was."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from bioelx.errors import FileError
from bioelx_eval.datasets import DATASETS
from bioelx_eval.harness import BATCH, EvaluationSettings, ReleaseUnderTest, evaluate
from bioelx_eval.journal import Journal, locked
from bioelx_eval.survey import survey

EXAMPLES = 4 * BATCH
RESULTS = ("scores.json", "predictions.parquet")


@pytest.fixture
def data(write_xlbel: Callable[..., Path]) -> Path:
    """Four batches of mentions; few are distinct, so that encoding them takes no time."""
    mentions = [f"asthma of kind {i % 40}" for i in range(EXAMPLES)]
    return write_xlbel({"en": [f"C0004096||{m}||<tgt>{m}</tgt>" for m in mentions]})


def start(data: Path, release: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bioelx", "eval", "run", "xlbel", "--data", str(data)]
    options = ["--release", str(release), "--out", str(out), "--language", "en", "--threads", "1"]
    return subprocess.Popen(
        [*command, *options], env={**os.environ}, stdout=subprocess.PIPE, text=True
    )


def stop_midway(process: subprocess.Popen[str], folder: Path, how: signal.Signals) -> str:
    """Stops the process when it has kept one more batch; returns what it printed."""
    before, deadline = kept(folder), time.monotonic() + 60
    while kept(folder) == before:
        assert process.poll() is None, "ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(how)
    return process.communicate()[0]


def kept(folder: Path) -> int:
    return len(list(folder.glob(".unfinished-*/*.arrow")))


def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(
    data: Path, release: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    folder = out / release.name / "xlbel"
    first = start(data, release, out)
    stop_midway(first, folder, signal.SIGKILL)
    assert first.returncode == -signal.SIGKILL
    assert not [name for name in RESULTS if (folder / name).exists()]

    second = start(data, release, out)
    printed = stop_midway(second, folder, signal.SIGINT)
    assert second.returncode == 130
    assert "give the same command again to go on" in printed

    third = start(data, release, out)
    printed, _ = third.communicate()
    assert third.returncode == 0
    said = re.search(r"([\d,]+) mentions \(([\d,]+) more were linked before\)", printed)
    assert said
    linked, before = (int(number.replace(",", "")) for number in said.groups())
    assert linked + before == EXAMPLES
    assert before >= 2 * BATCH
    assert sorted(path.name for path in folder.iterdir()) == sorted((*RESULTS, "report.md"))

    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    settings = EvaluationSettings(threads=1)
    examples = survey(DATASETS["xlbel"], data, ["en"])
    work = evaluate(examples, ReleaseUnderTest(str(release), settings), undisturbed, settings)
    assert work.examples == EXAMPLES
    for name in RESULTS:
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes()


def test_only_batches_of_the_same_run_are_taken_up(tmp_path: Path) -> None:
    table = pa.table({"id": ["en/1"]})
    Journal(tmp_path, "a" * 64).keep(0, table)
    again = Journal(tmp_path, "a" * 64)
    assert 0 in again
    assert 1 not in again
    assert [each.to_pylist() for each in again.tables()] == [[{"id": "en/1"}]]
    assert 0 not in Journal(tmp_path, "a" * 64, fresh=True)
    again.keep(0, table)
    assert 0 not in Journal(tmp_path, "b" * 64)
    Journal(tmp_path, "b" * 64).remove()
    assert not list(tmp_path.iterdir())


def test_two_runs_do_not_write_into_one_folder(data: Path, release: Path, tmp_path: Path) -> None:
    settings = EvaluationSettings(threads=1)
    examples = survey(DATASETS["xlbel"], data, ["de"])
    with (
        locked(tmp_path),
        pytest.raises(FileError, match="another run is at work on it"),
    ):
        evaluate(examples, ReleaseUnderTest(str(release), settings), tmp_path, settings)


def test_files_that_change_under_way_are_noticed(
    write_xlbel: Callable[..., Path], release: Path, tmp_path: Path
) -> None:
    settings = EvaluationSettings(threads=1)
    line = "C0004096||asthma||<tgt>asthma</tgt>"
    examples = survey(DATASETS["xlbel"], write_xlbel({"de": [line] * 3}), ["de"])
    write_xlbel({"de": [line] * 2})
    with pytest.raises(FileError, match="has changed while it was read: run again"):
        evaluate(examples, ReleaseUnderTest(str(release), settings), tmp_path, settings)
    assert not (tmp_path / "scores.json").exists()
