"""XL-BEL: 1,000 mentions from Wikipedia in each of ten languages (Liu et al., ACL 2021).

A row of v0.0 is `CUI||mention`, of v1.0 `CUI||mention||context` with the mention in the context
between `<tgt>` and `</tgt>`. `CUI|CUI` is several golds, any of which is right.

English differs between the versions; the other languages hold the same pairs in another order.
`covered-v1.0.tsv` beside the data fixes which rows are scored on an open knowledge base.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bioelx.errors import FileError
from bioelx.kb import normalise
from bioelx.types import Query
from bioelx_eval.datasets.dataset import Dataset, Example, find_file, read_lines

ORIGIN = "https://github.com/cambridgeltl/sapbert"
LANGUAGES = ("en", "es", "de", "fi", "ru", "tr", "ko", "zh", "ja", "th")
COVERED_HEADER = ("language", "line", "gold", "mention")

# CUIs of UMLS, of MedGen (CN), of the NCI Metathesaurus (CL), and one bare number in Chinese.
_GOLD = re.compile("C[0-9]{7}|C[LN][0-9]{6}|[0-9]{5}")


class Row(NamedTuple):
    """One line of a file, read."""

    gold: str  # as published: ids joined by |
    mention: str
    query: Query


class _Covered(NamedTuple):
    """One line of the list of covered rows."""

    line: int  # in the list itself
    gold: str
    mention: str


def parse_row(line: str, language: str, *, with_context: bool) -> Row:
    """Reads one line.

    A context whose marks enclose nothing (v1.0 has one, German line 736) is not used.

    Raises:
        ValueError: the line is not such a row; the message says why.
    """
    columns = line.split("||")
    wanted = 3 if with_context else 2
    if len(columns) != wanted:
        raise ValueError(f"has {len(columns)} columns between ||, not {wanted}")
    gold, mention = columns[:2]
    for each in gold.split("|"):
        if not _GOLD.fullmatch(each):
            raise ValueError(f"{each!r} is not a CUI")
    if "|" in mention:
        raise ValueError("a single | in the mention")
    if not normalise(mention):
        raise ValueError("the mention is empty")
    if not with_context:
        return Row(gold, mention, Query.bare(mention, language))
    before, opened, rest = columns[2].partition("<tgt>")
    marked, closed, after = rest.partition("</tgt>")
    text = before + marked + after
    if not opened or not closed or "tgt>" in text:
        raise ValueError("the context needs one <tgt> and, after it, one </tgt>")
    if not marked:
        return Row(gold, mention, Query.bare(mention, language))
    if marked != mention:
        raise ValueError("the context marks another string than the mention")
    return Row(gold, mention, Query(text, len(before), len(before) + len(mention), language))


def _read(version: str, data: Path, languages: Sequence[str]) -> Iterator[Example]:
    folder = _locate(version, data)
    files = {language: _file(version, folder, language) for language in languages}
    covered_file = next(
        (f for p in (folder, folder.parent) if (f := p / f"covered-{version}.tsv").is_file()), None
    )
    covered = _read_covered(covered_file) if covered_file else None
    for language, path in files.items():
        expected = covered[language] if covered is not None else {}
        for number, line in read_lines(path):
            try:
                row = parse_row(line, language, with_context=version == "v1.0")
            except ValueError as error:
                raise FileError(path, str(error), line=number) from None
            fixed = expected.pop(number, None)
            if covered_file and fixed and (fixed.gold, fixed.mention) != (row.gold, row.mention):
                raise FileError(covered_file, f"is not row {number} of {path}", line=fixed.line)
            yield Example(
                id=f"{language}/{number}",
                group=language,
                query=row.query,
                gold=tuple(f"umls:{cui}" for cui in dict.fromkeys(row.gold.split("|"))),
                covered=None if covered is None else fixed is not None,
            )
        for number, missing in expected.items():
            raise FileError(path, f"ends before row {number} of {covered_file}:{missing.line}")


def _read_covered(path: Path) -> dict[str, dict[int, _Covered]]:
    """The covered rows by language and line number."""
    covered: dict[str, dict[int, _Covered]] = defaultdict(dict)
    for number, line in read_lines(path):
        columns = tuple(line.split("\t"))
        if number == 1 and columns == COVERED_HEADER:
            continue
        if number == 1 or len(columns) != len(COVERED_HEADER):
            raise FileError(path, f"needs columns {', '.join(COVERED_HEADER)}", line=number)
        language, row, gold, mention = columns
        if language not in LANGUAGES:
            raise FileError(path, f"language {language!r} is not in XL-BEL", line=number)
        if not (row.isascii() and row.isdecimal()) or int(row) in covered[language]:
            raise FileError(path, f"line {row!r} is no number or stands here twice", line=number)
        covered[language][int(row)] = _Covered(number, gold, mention)
    if not covered:
        raise FileError(path, "lists no row", line=1)
    return covered


def _locate(version: str, data: Path) -> Path:
    folders = (data, data / version, data / "xlbel" / version)
    for folder in folders:
        if any(folder.glob(f"{_name(version, '*')}*")):
            return folder
    raise FileError(
        data, f"holds no XL-BEL {version} ({_name(version, 'en')}, plain or .gz); see {ORIGIN}"
    )


def _file(version: str, folder: Path, language: str) -> Path:
    path = folder / _name(version, language)
    if found := find_file(path):
        return found
    raise FileError(path, "no such file, plain or .gz")


def _name(version: str, language: str) -> str:
    context = "_with_context" if version == "v1.0" else ""
    return f"{language}_1k_test_query{context}.txt"


def _dataset(name: str, version: str) -> Dataset:
    return Dataset(
        name=name,
        title=f"XL-BEL {version}",
        origin=ORIGIN,
        licence="MIT",
        scheme="umls",
        groups=dict.fromkeys(LANGUAGES, 1000),
        locate=partial(_locate, version),
        read=partial(_read, version),
    )


DATASETS = (_dataset("xlbel", "v1.0"), _dataset("xlbel-v0.0", "v0.0"))
