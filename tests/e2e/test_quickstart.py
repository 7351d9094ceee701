"""`bioelx quickstart`: its mentions, and (long) the job itself."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bioelx.errors import FileError
from bioelx.kb import normalise
from bioelx.linker import Linker
from bioelx.settings import home, shipped
from bioelx_index.quickstart import read_samples

MENTIONS = shipped("data/quickstart/mentions.jsonl")
LANGUAGES = {"en", "de", "es", "fi", "ru", "tr", "ko", "zh", "ja", "th"}


def test_the_shipped_mentions_are_as_many_as_promised() -> None:
    samples = read_samples(MENTIONS)
    assert len(samples) >= 50
    of_language = Counter(sample.document.language for sample in samples)
    assert set(of_language) == LANGUAGES
    assert min(of_language.values()) >= 5
    assert len({sample.document.id for sample in samples}) == len(samples)
    assert all(sample.expected for sample in samples)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not a sample"),
        ('{"id": "x"}', r"KeyError\('text'\)"),
        (
            '{"id": "x", "text": "asthma", "start": 1, "end": 6, "mention": "asthma",'
            ' "language": "en", "expected": []}',
            "do not enclose",
        ),
    ],
)
def test_a_bad_sample_is_named_by_its_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "mentions.jsonl"
    good = MENTIONS.read_text(encoding="utf-8").splitlines()[0]
    path.write_text(f"{good}\n{line}\n", encoding="utf-8")
    with pytest.raises(FileError, match=rf"mentions\.jsonl:2: .*{message}"):
        read_samples(path)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_whole_job_from_sources_to_links(tmp_path: Path) -> None:
    for part in ("models", "data"):
        (tmp_path / part).symlink_to(home() / part)
    done = subprocess.run(
        [sys.executable, "-m", "bioelx", "quickstart"],
        env={**os.environ, "BIOELX_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert re.search(r"\d+ of 70 mentions", done.stdout)
    kb = Linker.open(next((tmp_path / "releases").glob("[0-9]*"))).knowledge_base
    samples = [json.loads(line) for line in MENTIONS.read_text(encoding="utf-8").splitlines()]
    differing = 0
    for sample in samples:
        rows = {row for curie in sample["expected"] for row in kb.rows_with_xref(curie)}
        rows |= {row for curie in sample["expected"] if (row := kb.row_of(curie)) is not None}
        names = {normalise(name.text) for row in rows for name in kb.names_of(row)}
        differing += normalise(sample["mention"]) not in names
    assert differing >= len(samples) / 2
