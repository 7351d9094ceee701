"""`bioelx pull wikidata --dump` with what only a dump needs."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from bioelx_index.benchmark.enlarge import SyntheticItem
from bioelx_index.benchmark.entities import as_dump, as_json
from bioelx_index.sources.wikidata.folder import read_pull


def test_many_malformed_lines_and_a_date_are_taken_if_asked_for(tmp_path: Path) -> None:
    item = as_json(SyntheticItem("Q7", {"en": "thing"}, claims={"P486": ["D000007"]}))
    dump = tmp_path / "latest-all.json"
    dump.write_bytes(b"".join(as_dump([item, *[b"{spoilt"] * 20])))
    command = [sys.executable, "-m", "bioelx", "pull", "wikidata", "--workers", "1"]
    command += ["--dump", str(dump), "--out", str(tmp_path / "pull")]
    stopped = subprocess.run(command, capture_output=True, text=True, check=False)
    assert stopped.returncode != 0
    assert "20 of the first 21 lines are malformed" in stopped.stdout + stopped.stderr
    more = ["--malformed-share", "1", "--dumped", "2025-11-03"]
    subprocess.run([*command, *more], capture_output=True, check=True)
    pull = read_pull(tmp_path / "pull")
    assert (pull.items, pull.notes["malformed"]) == (1, 20)
    assert pull.started == datetime(2025, 11, 3, tzinfo=UTC)
