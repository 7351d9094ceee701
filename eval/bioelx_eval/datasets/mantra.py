"""Mantra GSC: sentences of drug labels (EMEA), titles of Medline and claims of patents in five
languages, with UMLS CUIs (Kors et al., JAMIA 2015).

Read from `Mantra-GSC-brat.zip` as published or unpacked: a folder a language, in it a folder a
part (Medline has one for each language paired with English), in it `.txt` and `.ann`, where a line

    T6, CUI start end, mention: between tabs

marks a mention and `start end;start end` one with gaps, which is linked without its document, as
its pieces read one after the other. A line that starts with `#` is a note and not read.

The annotators gave a span every CUI that fits, a line each: that is one example with several
golds, any of which is right (4,817 examples of 5,530 lines).
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from bioelx.errors import FileError
from bioelx.types import Query
from bioelx_eval.datasets.dataset import DAMAGE, Dataset, Example, encloses, read_lines, read_text

ORIGIN = "https://github.com/mi-erasmusmc/Mantra-Gold-Standard-Corpus"
ARCHIVE = "Mantra-GSC-brat.zip"
LANGUAGES = {"en": "English", "de": "German", "fr": "French", "es": "Spanish", "nl": "Dutch"}
GROUPS = {
    "EMEA en": 363,
    "EMEA de": 359,
    "EMEA fr": 361,
    "EMEA es": 361,
    "EMEA nl": 364,
    "Patents en": 321,
    "Patents de": 319,
    "Patents fr": 313,
    "Medline en": 1038,
    "Medline de": 279,
    "Medline fr": 247,
    "Medline es": 278,
    "Medline nl": 214,
}

_CUI = re.compile("C[0-9]{7}")
_SPANS = re.compile("[0-9]+ [0-9]+(;[0-9]+ [0-9]+)*")

_Node = Path | zipfile.Path


def _locate(data: Path) -> Path:
    for folder in (data, data / "mantra"):
        for place in (folder, folder / ARCHIVE):
            if place.is_file() or _root(place):
                return place
    raise FileError(data, f"holds no {ARCHIVE}, packed or unpacked; see {ORIGIN}")


def _root(place: _Node) -> _Node | None:
    """The folder with a folder a language."""
    roots = (place, place / "Mantra-GSC")
    names = LANGUAGES.values()
    return next((root for root in roots if any((root / name).is_dir() for name in names)), None)


def _read(place: Path, groups: Sequence[str]) -> Iterator[Example]:
    with ExitStack() as stack:
        node: _Node = place
        if place.is_file():
            try:
                node = zipfile.Path(stack.enter_context(zipfile.ZipFile(place)))
            except (*DAMAGE, ValueError) as error:
                raise FileError(place, f"not a whole zip archive ({error})") from None
        root = _root(node)
        if root is None:
            raise FileError(place, f"holds none of the folders {', '.join(LANGUAGES.values())}")
        for group in groups:
            for folder in _folders(root, group):
                for stem in _stems(folder):
                    yield from _read_document(folder, stem, group)


def _folders(root: _Node, group: str) -> list[_Node]:
    part, language = group.split()
    of_language = root / LANGUAGES[language]
    entries = _entries(of_language) if of_language.is_dir() else []
    folders = [each for each in entries if each.name.split("_")[0] == part and each.is_dir()]
    if not folders:
        raise FileError(f"{of_language}/{part}_*", "no such folder")
    return folders


def _stems(folder: _Node) -> list[str]:
    """The names of the documents, each of which has a text and an annotation file."""
    names = {each.name for each in _entries(folder)}
    stems = sorted({name.removesuffix(".ann").removesuffix(".txt") for name in names})
    for name in (f"{stem}{suffix}" for stem in stems for suffix in (".txt", ".ann")):
        if name not in names:
            raise FileError(str(folder / name), "no such file")
    return stems


def _entries(folder: _Node) -> list[_Node]:
    visible = (each for each in folder.iterdir() if not each.name.startswith("."))
    return sorted(visible, key=lambda each: each.name)


def _read_document(folder: _Node, stem: str, group: str) -> Iterator[Example]:
    language = group.split()[1]
    text = read_text(folder / f"{stem}.txt")
    path = folder / f"{stem}.ann"
    queries: dict[str, Query] = {}
    gold: dict[str, dict[str, None]] = {}
    for number, line in read_lines(path, may_be_empty=True):
        if line.startswith("#"):
            continue
        try:
            spans, cui, query = _read_line(line, text, language)
        except ValueError as error:
            raise FileError(str(path), str(error), line=number) from None
        queries[spans] = query
        gold.setdefault(spans, {})[f"umls:{cui}"] = None
    for spans, query in queries.items():
        name = f"{LANGUAGES[language]}/{folder.name}/{stem}/{spans}"
        yield Example(name, group, query, tuple(gold[spans]))


def _read_line(line: str, text: str, language: str) -> tuple[str, str, Query]:
    columns = line.split("\t")
    if len(columns) != 3:
        raise ValueError(f"has {len(columns)} columns between tabs, not 3")
    key, place, mention = columns
    cui, _, spans = place.partition(" ")
    if not key.startswith("T") or not _SPANS.fullmatch(spans):
        raise ValueError("needs T1, then a CUI and offsets, then the mention")
    if not _CUI.fullmatch(cui):
        raise ValueError(f"{cui!r} is not a CUI")
    pieces = [(int(start), int(end)) for start, end in map(str.split, spans.split(";"))]
    whole = " ".join(text[start:end] for start, end in pieces)
    if whole != mention or not all(encloses(text, *each, text[slice(*each)]) for each in pieces):
        raise ValueError("the offsets do not enclose the mention")
    if len(pieces) > 1:
        return spans, cui, Query.bare(mention, language)
    return spans, cui, Query(text, *pieces[0], language)


DATASETS = (
    Dataset(
        name="mantra",
        title="Mantra GSC",
        origin=ORIGIN,
        licence="GPL-3.0",
        scheme="umls",
        groups=GROUPS,
        locate=_locate,
        read=_read,
    ),
)
