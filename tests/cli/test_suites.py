"""Benchmarks that a build measures its release on, and that `release activate` asks it to pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner, Result

from bioelx.cli.app import app
from bioelx.errors import BioelxError, FileError
from bioelx.release import active_release
from bioelx_eval.datasets.xlbel import LANGUAGES

HEADACHE, FEVER = "C0018681", "C0015967"
ROWS = {
    "en": [
        f"{HEADACHE}||headaches||severe <tgt>headaches</tgt>",
        f"{FEVER}||Pyrexia||<tgt>Pyrexia</tgt> of unknown origin",
    ],
    "th": [f"{HEADACHE}||ปวดศีรษะ||<tgt>ปวดศีรษะ</tgt>"],
    "ja": [f"{HEADACHE}||頭痛||ひどい<tgt>頭痛</tgt>"],
}
ELSEWHERE = f"{FEVER}||fiebre||<tgt>fiebre</tgt>"


@pytest.fixture
def home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for limit in ("MARGIN", "MAX_GONE"):  # the regression set is of other concepts
        monkeypatch.setenv(f"BIOELX_GATE_{limit}", "1")
    return home


@pytest.fixture
def benchmarks(write_xlbel_in: Callable[..., Path], tmp_path: Path) -> Path:
    """XL-BEL as it is published, but for its length."""
    write_xlbel_in(tmp_path / "benchmarks", {**{each: [ELSEWHERE] for each in LANGUAGES}, **ROWS})
    return tmp_path / "benchmarks"


@pytest.fixture
def config(small_snapshot: Path, benchmarks: Path, tmp_path: Path) -> Path:
    path = tmp_path / "build.toml"
    path.write_text(
        f'data = "{small_snapshot}"\n[evaluate]\nsuites = ["xlbel"]\ndata = "{benchmarks}"\n',
        encoding="utf-8",
    )
    return path


def bioelx(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})


def stage(result: Result, title: str) -> list[str]:
    """What the summary of a build says of a stage: its state, its seconds and its result."""
    assert result.exit_code == 0, result.output
    rows = [[cell.strip() for cell in line.split("│")] for line in result.stdout.splitlines()]
    [row] = [row[1:] for row in rows if row[0] == title]
    return row


def test_what_a_build_measured_the_gate_does_not_measure_again(
    home: Path, config: Path, benchmarks: Path, tmp_path: Path
) -> None:
    state, _, scores = stage(bioelx("build", "--config", config), "xlbel")
    assert (state, scores.split(",")[0]) == ("done", "R@1 100.0")
    first = str(active_release(home / "releases"))
    run = home / "evaluations" / first / "xlbel"
    assert orjson.loads((run / "scores.json").read_bytes())["dataset"] == "xlbel"
    assert (run / "report.md").read_text(encoding="utf-8").startswith("# XL-BEL v1.0\n")
    # The release stands, and so does what it was measured to be.
    assert stage(bioelx("build", "--config", config), "xlbel")[0] == "unchanged"

    # Headache alone has room in it: seven languages lose fever, English half of its rows.
    part = bioelx("build", "--config", config, "--names", 4)
    assert stage(part, "xlbel")[:1] == ["done"]
    second = str(active_release(home / "releases"))
    assert second != first
    assert bioelx("release", "rollback").exit_code == 0
    linked = [path.stat().st_mtime_ns for path in home.glob("evaluations/*/xlbel/*.parquet")]
    assert len(linked) == 2

    asked = ("release", "activate", second, "--suite", "xlbel", "--data", benchmarks)
    refused = bioelx(*asked, "--gate-margin", "0.5")
    assert isinstance(refused.exception, BioelxError)
    assert "xlbel: R@1 falls by 75.0 points, allowed are 50.0" in str(refused.exception)
    assert active_release(home / "releases") == first
    assert linked == [p.stat().st_mtime_ns for p in home.glob("evaluations/*/xlbel/*.parquet")]
    assert bioelx(*asked, "--gate-margin", "1").exit_code == 0
    assert active_release(home / "releases") == second


def test_a_benchmark_that_is_not_there_is_named(home: Path, config: Path, benchmarks: Path) -> None:
    (benchmarks / "xlbel" / "v1.0" / "th_1k_test_query_with_context.txt").unlink()
    failed = bioelx("build", "--config", config)
    assert isinstance(failed.exception, FileError)
    assert "th_1k_test_query_with_context.txt" in str(failed.exception)
    # The release is made, and not activated: it is not known how good it is.
    assert active_release(home / "releases") is None
    unknown = bioelx("release", "activate", "any", "--suite", "bible", "--data", benchmarks)
    assert unknown.exit_code != 0
