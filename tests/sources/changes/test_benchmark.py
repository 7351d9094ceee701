"""The comparison of a pull of changes with a whole one, as the docs give it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bioelx_index.benchmark.changes import measure
from bioelx_index.sources.wikidata.folder import read_pull


@pytest.mark.long
def test_changes_and_whole_come_to_the_same(
    small_snapshot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measure(small_snapshot / "slice.nt", 2_000, tmp_path / "out")
    assert "The active records of both are equal." in capsys.readouterr().out
    counts = read_pull(tmp_path / "out" / "changes").notes["changes"]
    assert all(counts[name] > 0 for name in ("created", "edited", "merged", "deleted", "left"))
