"""`bioelx pull wikidata --dump`."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

from bioelx_index.benchmark.enlarge import SyntheticItem
from bioelx_index.benchmark.entities import as_dump, as_json

PULL = [sys.executable, "-m", "bioelx", "pull", "wikidata"]


def pull(*options: str | Path) -> tuple[int, str]:
    command = [*PULL, *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_dump_is_pulled_and_summed_up(tmp_path: Path) -> None:
    items = [
        SyntheticItem(f"Q{number}", {"en": f"thing {number}"}, claims={"P486": [f"D{number:06}"]})
        for number in range(1, 30)
    ]
    dump = tmp_path / "wikidata-20251103-all.json.gz"
    dump.write_bytes(gzip.compress(b"".join(as_dump(map(as_json, items)))))
    options = ("--dump", dump, "--out", tmp_path / "pull", "--workers", "1")
    status, printed = pull(*options)
    assert status == 0, printed
    assert "29 items, 0 retired, 29 names in 1 languages" in printed
    assert "Next: bioelx build --wikidata" in printed
    status, printed = pull(*options)
    assert status == 0
    assert "is finished" in printed


def test_what_is_pulled_from_is_named_once(tmp_path: Path) -> None:
    for options in ((), ("--dump", tmp_path, "--endpoint", "http://localhost:1/")):
        status, printed = pull(*options)
        assert status != 0
        assert "--endpoint URL or --dump FILE, one of them" in printed
    status, printed = pull("--dump", tmp_path, "--since", "active")
    assert status != 0
    assert "--since asks an endpoint" in printed
    status, printed = pull("--dump", tmp_path / "none.json", "--out", tmp_path / "pull")
    assert status != 0
    assert "none.json: No such file" in printed
