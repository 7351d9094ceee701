"""MedMentions: 4,392 abstracts with all their UMLS concepts (Mohan and Li, AKBC 2019).

`full` holds every mention, `st21pv` those of 21 semantic types and preferred vocabularies. Which
documents are for training, development and test is the same for both: lists of PMIDs in `full`.
Each mention has one CUI (`C0010674`, in some files `UMLS:C0010674`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from bioelx.errors import FileError
from bioelx_eval.datasets.dataset import Dataset, Example, find_file, read_lines
from bioelx_eval.datasets.pubtator import read_documents

ORIGIN = "https://github.com/chanzuckerberg/MedMentions"
CORPUS = "corpus_pubtator.txt"
_ID = re.compile("(?:UMLS:)?(C[0-9]{7})")
_PMID = re.compile("[0-9]+")

_LISTS = {
    split: f"corpus_pubtator_pmids_{name}.txt"
    for split, name in (("test", "test"), ("dev", "dev"), ("train", "trng"))
}
_EXAMPLES = {
    "full": {"test": 70_405, "dev": 71_062, "train": 211_029},
    "st21pv": {"test": 40_157, "dev": 40_884, "train": 122_241},
}


def _locate(subset: str, data: Path) -> Path:
    roots = (data, data / "medmentions", data / "MedMentions")
    folders = [folder for root in roots for folder in (root / subset / "data", root / subset)]
    if found := find_file(*(folder / CORPUS for folder in folders)):
        return found
    wanted = f"{subset}/data/{CORPUS}"
    raise FileError(data, f"holds no {wanted}, plain or .gz; see {ORIGIN}")


def _read(split: str, path: Path, groups: Sequence[str]) -> Iterator[Example]:
    list_path = _list_path(path.parent, _LISTS[split])
    wanted = _read_list(list_path)
    [group] = groups
    for document in read_documents(path):
        if wanted.pop(document.pmid, None) is None:
            continue
        for annotation in document.annotations:
            if not (cui := _ID.fullmatch(annotation.ids)):
                raise FileError(path, f"{annotation.ids!r} is not a CUI", line=annotation.line)
            yield Example(
                id=f"{document.pmid}/{annotation.line}",
                group=group,
                query=annotation.query,
                gold=(f"umls:{cui[1]}",),
            )
    for pmid, number in wanted.items():
        raise FileError(list_path, f"document {pmid} is not in {path}", line=number)


def _list_path(corpus: Path, name: str) -> Path:
    """The list beside the corpus or, as published for st21pv, in `full`."""
    roots = (corpus.parent, corpus.parent.parent)
    folders = (corpus, *(r / each for r in roots for each in ("full/data", "full")))
    if found := find_file(*(folder / name for folder in folders)):
        return found
    raise FileError(corpus / name, "no such file, nor in full/data")


def _read_list(path: Path) -> dict[str, int]:
    """The PMIDs, each with its line."""
    pmids: dict[str, int] = {}
    for number, line in read_lines(path):
        if not _PMID.fullmatch(line) or line in pmids:
            raise FileError(path, "is no PMID or stands here twice", line=number)
        pmids[line] = number
    return pmids


def _dataset(subset: str, split: str, examples: int) -> Dataset:
    name = "medmentions" if subset == "full" else f"medmentions-{subset}"
    return Dataset(
        name=name if split == "test" else f"{name}-{split}",
        title=f"MedMentions {subset} {split}",
        origin=ORIGIN,
        licence="CC0-1.0",
        scheme="umls",
        groups={"en": examples},
        locate=partial(_locate, subset),
        read=partial(_read, split),
    )


DATASETS = tuple(
    _dataset(subset, split, examples)
    for subset, splits in _EXAMPLES.items()
    for split, examples in splits.items()
)
