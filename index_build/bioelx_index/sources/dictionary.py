"""A dictionary of names as SapBERT's evaluation reads it: `CUI||name` a line, in any order.

The knowledge base of XL-BEL's paper (Liu et al., ACL 2021) is such a file, made from the UMLS;
docs/paper-protocol.md sets the two readings side by side. As there, empty lines and those of
`cui-less` are passed over, and spaces around a column are dropped. `CUI|CUI||name` gives each of
the concepts the name.

Such a file says neither a name's language nor which name is preferred: all are aliases of the
language `und`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from bioelx.errors import FileError
from bioelx.types import Name
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.files import open_text

NO_CONCEPT = "cui-less"
# As XL-BEL's gold ids: CUIs of UMLS, of MedGen (CN) and of the NCI Metathesaurus (CL).
_CUI = re.compile("C[0-9]{7}|C[LN][0-9]{6}")


def read(source: str, files: Sequence[Path]) -> Iterator[SourceConcept]:
    """Streams the names of each run of lines with the same CUIs.

    Raises:
        FileError: a line has not two columns, an id that is no CUI, or no name; or the file is
            missing, empty, cut off (plain: in its last line) or not UTF-8.
    """
    for path in files:
        for cuis, rows in groupby(_rows(path), key=lambda row: row[0]):
            names = tuple(Name(text, "und", "alias", source) for _, text in rows)
            for cui in cuis:
                yield SourceConcept(f"umls:{cui}", names)


def _rows(path: Path) -> Iterator[tuple[tuple[str, ...], str]]:
    """The CUIs and the name of each line."""
    number, line = 0, ""
    with open_text(path) as stream:
        for number, line in enumerate(stream, start=1):
            if not line.endswith(("\n", "\r")):
                break
            columns = [column.strip() for column in line.removeprefix("\ufeff").split("||")]
            if columns == [""] or columns[0].lower() == NO_CONCEPT:
                continue
            if len(columns) != 2:
                message = f"has {len(columns)} columns between ||, not 2"
                raise FileError(path, message, line=number)
            cuis, name = columns
            for cui in cuis.split("|"):
                if not _CUI.fullmatch(cui):
                    raise FileError(path, f"{cui!r} is not a CUI", line=number)
            if not name:
                raise FileError(path, "has no name after ||", line=number)
            yield tuple(dict.fromkeys(cuis.split("|"))), name
    if not number:
        raise FileError(path, "is empty", line=1)
    if not line.endswith(("\n", "\r")):
        message = "the last line has no end: cut off, or, if it is whole, in want of a line end"
        raise FileError(path, message, line=number)
