"""BC5CDR: chemicals and diseases in 1,500 abstracts, with MeSH ids (Li et al., Database 2016).

- `-1` says that MeSH has no such concept: the example has no gold. No candidate is right for it,
  so it counts as wrong among all rows and is never among the covered ones.
- A composite mention has several ids joined by `|` and mostly, in a last column, the mentions it
  stands for. As in BioSyn's script (Sung et al., ACL 2020), which many papers reuse, each part is
  linked for itself, a candidate with any of the ids is right, and the mention is right within the
  first k candidates if every part is. Where the corpus gives no parts the mention is linked as it
  stands. Not applied: BioSyn's rules for splitting those, its expansion of abbreviations, and its
  removal of ids that its dictionary lacks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from bioelx.errors import FileError
from bioelx.kb import normalise
from bioelx.types import Query
from bioelx_eval.datasets.dataset import Dataset, Example, find_file
from bioelx_eval.datasets.pubtator import Annotation, read_documents

ORIGIN = "https://biocreative.bioinformatics.udel.edu/tasks/biocreative-v/track-3-cdr/"
NIL = "-1"
_ID = re.compile("[CD][0-9]{6}(?:[0-9]{3})?|-1")

_FILES = {
    # split: (names of its file, chemicals, diseases)
    "test": (("test_corpus.txt", "CDR_TestSet.PubTator.txt"), 5385, 4424),
    "dev": (("dev_corpus.txt", "CDR_DevelopmentSet.PubTator.txt"), 5347, 4244),
    "train": (("train_corpus.txt", "CDR_TrainingSet.PubTator.txt"), 5203, 4182),
}


def _locate(names: Sequence[str], data: Path) -> Path:
    folders = (data, data / "bc5cdr", data / "CDR_Data" / "CDR.Corpus.v010516")
    if found := find_file(*(folder / name for folder in folders for name in names)):
        return found
    raise FileError(data, f"holds no {' or '.join(names)}, plain or .gz; see {ORIGIN}")


def _read(path: Path, groups: Sequence[str]) -> Iterator[Example]:
    for document in read_documents(path):
        for annotation in document.annotations:
            try:
                example = _example(document.pmid, annotation)
            except ValueError as error:
                raise FileError(path, str(error), line=annotation.line) from None
            if example.group in groups:
                yield example


def _example(pmid: str, annotation: Annotation) -> Example:
    if annotation.type not in ("Chemical", "Disease"):
        raise ValueError(f"{annotation.type!r} is neither Chemical nor Disease")
    ids = annotation.ids.split("|")
    if unknown := [each for each in ids if not _ID.fullmatch(each)]:
        raise ValueError(f"{unknown[0]!r} is neither a MeSH id nor {NIL}")
    parts = annotation.parts.split("|") if annotation.parts else []
    if parts and (len(parts) != len(ids) or not all(map(normalise, parts))):
        raise ValueError("needs as many parts as ids")
    return Example(
        id=f"{pmid}/{annotation.line}",
        group=annotation.type,
        query=annotation.query,
        gold=tuple(f"mesh:{each}" for each in dict.fromkeys(ids) if each != NIL),
        parts=tuple(Query.bare(part, annotation.query.language) for part in parts),
    )


DATASETS = tuple(
    Dataset(
        name="bc5cdr" if split == "test" else f"bc5cdr-{split}",
        title=f"BC5CDR {split}",
        origin=ORIGIN,
        licence="public domain",
        scheme="mesh",
        groups={"Chemical": chemicals, "Disease": diseases},
        locate=partial(_locate, names),
        read=_read,
    )
    for split, (names, chemicals, diseases) in _FILES.items()
)
