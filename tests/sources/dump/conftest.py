"""Dumps in Wikidata's shape, and pulls from them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bioelx_index.benchmark.enlarge import SyntheticItem
from bioelx_index.benchmark.entities import Filler, as_dump, as_json
from bioelx_index.progress import Stages
from bioelx_index.sources.wikidata.dump import pull_dump
from bioelx_index.sources.wikidata.dump.pull import Sizes
from bioelx_index.sources.wikidata.folder import Pull
from bioelx_index.sources.wikidata.selection import Selection

TEXTS = ("asthma", "천식", "Herzinfarkt", "ปวดศีรษะ", "糖尿病", "fièvre / frissons")
SIZES = Sizes(block=1 << 17, part=1 << 19)  # a dozen blocks in three parts


@pytest.fixture(scope="session")
def lines() -> list[bytes]:
    """The 150 entities of a dump, 1.5 MB, of which every third, Q1000 and so on, has a MeSH id."""
    filler = Filler(TEXTS)

    def line(number: int) -> bytes:
        if number % 3:
            return filler.line(number)
        claims = {"P486": [f"D{number:06}"], "P31": ["Q12136"], "P279": [f"Q{number + 999}"]}
        labels = {"en": f"thing {number}", "ko": f"천식 {number}"}
        modified = "2025-10-01T12:00:00Z"
        return as_json(SyntheticItem(f"Q{1000 + number}", labels, claims=claims, modified=modified))

    return [line(number) for number in range(150)]


@pytest.fixture(scope="session")
def dump(lines: list[bytes]) -> bytes:
    return b"".join(as_dump(lines))


@pytest.fixture
def said() -> io.StringIO:
    """What a pull says while it runs."""
    return io.StringIO()


@pytest.fixture
def stages(said: io.StringIO) -> Stages:
    return Stages(Console(file=said, width=300))


PullFrom = Callable[..., Pull]


@pytest.fixture
def pull_from(tmp_path: Path, stages: Stages) -> PullFrom:
    """Pulls from a dump, a file or what is to be in one, into tmp_path/pull."""

    def run(dump: Path | bytes, selection: Selection | None = None, **options: Any) -> Pull:
        if isinstance(dump, bytes):
            path = tmp_path / "dump.json"
            path.write_bytes(dump)
            dump = path
        folder = options.pop("folder", tmp_path / "pull")
        settings = {"workers": 1, "sizes": SIZES, **options}
        return pull_dump(dump, folder, selection or Selection(), stages=stages, **settings)

    return run
