"""Regression sets: the shipped one, and files that are none."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioelx.errors import FileError
from bioelx.gate import read_rows
from bioelx.settings import shipped

LANGUAGES = {"en", "es", "de", "fi", "ru", "tr", "ko", "zh", "ja", "th"}


def test_the_shipped_set_has_concepts_and_none_in_all_ten_languages() -> None:
    rows = read_rows(shipped("data/regression.jsonl")).rows
    assert 150 <= len(rows) <= 250
    assert set(Counter(row.query.language for row in rows)) == LANGUAGES
    for language in LANGUAGES:
        own = [row for row in rows if row.query.language == language]
        assert sum(not row.expected for row in own) >= 3
        assert sum(bool(row.expected) for row in own) >= 15
    assert len({(row.query.language, row.query.mention) for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"", ":2: not JSON"),
        (b"[]", ":2: row: "),
        (b'{"id": "b", "language": "en", "mention": "flu"}', "no 'expected'"),
        (b'{"id": "b", "language": "en", "mention": "flu", "expected": []}', ":2: expected: "),
        (b'{"id": "b", "language": "en", "mention": "flu", "expected": ["Q1"]}', "expected.0: "),
        (b'{"id": "b", "language": "en", "mention": "", "expected": null}', ":2: mention: "),
        (b'{"id": "b", "language": "en", "mention": "a", "expected": null, "x": 1}', ":2: x: "),
        (b'{"id": "a", "language": "en", "mention": "a", "expected": null}', "'a' a second time"),
        (
            b'{"id": "b", "language": "en", "mention": "flu", "text": "a flu", "start": 1, '
            b'"end": 4, "expected": null}',
            ":2: start and end do not enclose the mention",
        ),
    ],
)
def test_a_line_that_is_no_row_is_named(tmp_path: Path, line: bytes, told: str) -> None:
    path = tmp_path / "rows.jsonl"
    good = b'{"id": "a", "language": "en", "mention": "flu", "expected": ["wikidata:Q2840"]}\n'
    path.write_bytes(good + line + b"\n")
    with pytest.raises(FileError) as caught:
        read_rows(path)
    assert told in str(caught.value)


def test_a_file_that_is_missing_or_empty(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="No such file"):
        read_rows(tmp_path / "rows.jsonl")
    (tmp_path / "rows.jsonl").touch()
    with pytest.raises(FileError, match="holds no rows"):
        read_rows(tmp_path / "rows.jsonl")


@given(content=st.binary(max_size=200))
def test_any_bytes_are_rows_or_an_error(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"any\.jsonl"):
        read_rows(path)
