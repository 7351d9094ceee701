"""`bioelx eval list`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner

from bioelx_eval.cli import app
from bioelx_eval.datasets import DATASETS


def listed(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["list", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def row(name: str, text: str) -> str:
    """The first line of a dataset in the table, its spaces made single."""
    [line] = [line for line in text.splitlines() if line.startswith(f" {name} ")]
    return " ".join(line.split())


def test_every_dataset_says_what_it_is(write_xlbel: Callable[..., Path]) -> None:
    data = write_xlbel({}).parent.parent
    size = sum(each.stat().st_size for each in data.rglob("*.txt"))
    text = listed("--data", data)
    for dataset in DATASETS.values():
        line = row(dataset.name, text)
        assert dataset.title in line
        assert dataset.licence.split()[0] in line
        assert dataset.origin in text
    assert row("xlbel", text).endswith(f"10,000 MIT {size} bytes, xlbel/v1.0")
    assert row("xlbel-v0.0", text).endswith("10,000 MIT no")
    assert "4,817 GPL-3.0 no" in row("mantra", text)
    assert "not counted" in row("wikimed", text)
    assert "on disk" in text


def test_a_file_is_found_with_its_size(tmp_path: Path) -> None:
    (tmp_path / "bc5cdr").mkdir()
    (tmp_path / "bc5cdr" / "dev_corpus.txt").write_bytes(b"x" * 1500)
    text = listed("--data", tmp_path)
    assert row("bc5cdr-dev", text).endswith("1.5 kB, bc5cdr/dev_corpus.txt")
    assert row("bc5cdr", text).endswith("no")


def test_without_a_folder_it_says_how_to_look() -> None:
    text = listed()
    assert "on disk" not in text
    assert "--data DIR" in text
