"""WikiMed-DE-BEL: links of the German Wikipedia as mentions (Wang et al., Wikidata@ISWC 2023).

A silver standard made by a program. One document a line, in JSON, or one indented array of them,
as that program prints it; each mention has one CUI, found by way of Wikidata, MeSH or DO.

Offsets were counted before percent signs in the text were decoded: where they do not enclose the
mention it is skipped and counted, as is a mention without a CUI (`None`, or an empty list).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from bioelx.errors import FileError
from bioelx.types import Query
from bioelx_eval.datasets.dataset import Dataset, Example, Skipped, encloses, find_file, read_lines

ORIGIN = "https://doi.org/10.5281/zenodo.8188966"
NO_CUI = Skipped("they have no CUI")
MISPLACED = Skipped("their offsets do not enclose them")
_CUI = re.compile("C[0-9]{7}")


def _locate(name: str, data: Path) -> Path:
    folders = (data, data / "wikimed", data / "WikiMed-DE-BEL")
    if found := find_file(*(folder / name for folder in folders)):
        return found
    raise FileError(data, f"holds no {name}, plain or .gz; see {ORIGIN}")


def _read(path: Path, groups: Sequence[str]) -> Iterator[Example | Skipped]:
    [group] = groups
    seen: set[str] = set()
    for number, source in _documents(path):
        try:
            document = orjson.loads(source)
            page, text = _field(document, "id", str), _field(document, "text", str)
            if page in seen:
                raise ValueError(f"document {page} again")
            mentions = _field(document, "mentions", list)
            read = [_read_mention(text, mention) for mention in mentions]
        except ValueError as error:
            raise FileError(path, str(error), line=number) from None
        seen.add(page)
        for i, each in enumerate(read):
            if isinstance(each, Skipped):
                yield each
            else:
                query, cuis = each
                gold = tuple(f"umls:{cui}" for cui in cuis)
                yield Example(f"{page}/{i}", group, query, gold)


def _documents(path: Path) -> Iterator[tuple[int, str]]:
    """The JSON of each document with the number of its first line."""
    lines = read_lines(path, open_end=True)
    number, line = next(lines)
    if line != "[":
        yield number, line
        yield from lines
        return
    block: list[str] = []
    closed = False
    for number, line in lines:
        if closed:
            raise FileError(path, "the array has ended before", line=number)
        block.append(line)
        if line in ("    }", "    },"):
            yield number - len(block) + 1, "\n".join(block).removesuffix(",")
            block = []
        closed = block == ["]"]
    if not closed:
        raise FileError(path, "the array has no end: the file is cut off", line=number)


def _read_mention(text: str, mention: Any) -> tuple[Query, list[str]] | Skipped:
    start, end = _field(mention, "start_index", int), _field(mention, "end_index", int)
    name = _field(mention, "mention", str)
    cuis = _field(mention, "cui", str | list)
    if cuis in ("None", []):
        return NO_CUI
    cuis = [cuis] if isinstance(cuis, str) else list(dict.fromkeys(cuis))
    if unknown := [cui for cui in cuis if not (isinstance(cui, str) and _CUI.fullmatch(cui))]:
        raise ValueError(f"{unknown[0]!r} is not a CUI")
    if not encloses(text, start, end, name):
        return MISPLACED
    return Query(text, start, end, "de"), cuis


def _field(value: Any, name: str, kind: Any) -> Any:
    if not isinstance(value, dict) or name not in value:
        raise ValueError(f"has no field {name!r}")
    if not isinstance(value[name], kind) or isinstance(value[name], bool):
        raise ValueError(f"field {name!r} has another type than published")
    return value[name]


def _dataset(name: str, title: str, file: str, examples: int | None) -> Dataset:
    return Dataset(
        name=name,
        title=title,
        origin=ORIGIN,
        licence="CC-BY-SA (text of Wikipedia)",
        scheme="umls",
        groups={"de": examples},
        locate=partial(_locate, file),
        read=_read,
    )


DATASETS = (
    _dataset("wikimed", "WikiMed-DE-BEL test", "test_data_bel.json", None),
    _dataset("wikimed-dev", "WikiMed-DE-BEL dev", "dev_data_bel.json", None),
    _dataset("wikimed-train", "WikiMed-DE-BEL train", "train_data_bel.json", None),
    _dataset("wikimed-all", "WikiMed-DE-BEL, all", "WikiMed-DE-BEL.json", 413_913),
)
