"""The UMLS Metathesaurus, from the user's own licensed copy of its RRF files (plain or .gz).

Column numbers follow the UMLS Reference Manual, chapter 3.
"""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from bioelx.errors import FileError
from bioelx.types import Name
from bioelx_index.kinds import UMLS_SEMANTIC_TYPES
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.curie import curie

CONCEPTS, TYPES, DEFINITIONS = "MRCONSO.RRF", "MRSTY.RRF", "MRDEF.RRF"

# LAT in MRCONSO -> BCP 47.
_LANGUAGES = {
    "ARA": "ar",
    "BAQ": "eu",
    "CHI": "zh",
    "CZE": "cs",
    "DAN": "da",
    "DUT": "nl",
    "ENG": "en",
    "EST": "et",
    "FIN": "fi",
    "FRE": "fr",
    "GER": "de",
    "GRE": "el",
    "HEB": "he",
    "HUN": "hu",
    "ITA": "it",
    "JPN": "ja",
    "KOR": "ko",
    "LAV": "lv",
    "NOR": "no",
    "POL": "pl",
    "POR": "pt",
    "RUS": "ru",
    "SCR": "hr",
    "SPA": "es",
    "SWE": "sv",
    "TUR": "tr",
    "UKR": "uk",
}
# Vocabularies whose preferred terms are taken for the same thing as their CUI.
_EQUIVALENT = {"MSH": {"MH", "NM"}, "HPO": {"PT"}, "SNOMEDCT_US": {"PT"}, "OMIM": {"PT"}}
_PREFIXES = {"MSH": "mesh", "HPO": "hp", "SNOMEDCT_US": "snomedct", "OMIM": "omim"}


def read(source: str, files: Sequence[Path]) -> Iterator[SourceConcept]:
    """Reads MRCONSO and MRSTY, and MRDEF if it is among `files`. Suppressible and obsolete rows
    are left out. MRCONSO must be in its own order, by CUI; it is streamed.

    Raises:
        FileError: a file is missing or a line does not have its columns.
    """
    by_name = {file.name.removesuffix(".gz"): file for file in files}
    for needed in (CONCEPTS, TYPES):
        if needed not in by_name:
            raise FileError(needed, "not among the files of the UMLS source")
    types = _types(by_name[TYPES])
    definitions = _definitions(by_name[DEFINITIONS]) if DEFINITIONS in by_name else {}
    rows = _rows(by_name[CONCEPTS], 18)
    for cui, of_concept in groupby(rows, key=lambda row: row[0]):
        names, equivalent = _read_concept(source, list(of_concept))
        if names:
            yield SourceConcept(
                f"umls:{cui}",
                names=names,
                description=definitions.get(cui, ""),
                types=tuple(sorted(types.get(cui, ()))),
                equivalent=equivalent,
            )


def _read_concept(source: str, rows: list[list[str]]) -> tuple[tuple[Name, ...], tuple[str, ...]]:
    names: dict[tuple[str, str], Name] = {}
    equivalent: dict[str | None, None] = {}  # in the order of the rows
    for row in rows:
        lat, ts, stt, preferred, vocabulary, term_type, code, text, suppress = (
            row[i] for i in (1, 2, 4, 6, 11, 12, 13, 14, 16)
        )
        lang = _LANGUAGES.get(lat)
        if suppress != "N" or lang is None:
            continue
        # TS, STT and ISPREF together mark the one preferred name of a concept and language.
        is_label = (ts, stt, preferred) == ("P", "PF", "Y")
        known = names.get((lang, text))
        if known is None or (is_label and known.kind != "label"):
            names[lang, text] = Name(text, lang, "label" if is_label else "alias", source)
        if term_type in _EQUIVALENT.get(vocabulary, ()):
            equivalent[curie(_PREFIXES[vocabulary], code)] = None
    return tuple(names.values()), tuple(filter(None, equivalent))


def _types(path: Path) -> dict[str, set[str]]:
    types: dict[str, set[str]] = defaultdict(set)
    for row in _rows(path, 6):
        types[row[0]].add(UMLS_SEMANTIC_TYPES.get(row[1], "other"))
    return types


def _definitions(path: Path) -> dict[str, str]:
    definitions: dict[str, str] = {}
    for row in _rows(path, 8):
        if row[6] == "N":
            definitions.setdefault(row[0], row[5])
    return definitions


def _rows(path: Path, columns: int) -> Iterator[list[str]]:
    """Cells of each line; RRF ends every cell, the last one too, with a bar."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="\n") as stream:
            for number, line in enumerate(stream, start=1):
                cells = line.rstrip("\r\n").split("|")
                if len(cells) != columns + 1 or cells[-1]:
                    found = len(cells) - 1
                    raise FileError(path, f"{found} cells, not {columns}", line=number)
                yield cells[:-1]
    except FileNotFoundError:
        raise FileError(path, "no such file") from None
    except UnicodeDecodeError as error:
        raise FileError(path, f"not UTF-8 ({error.reason} at byte {error.start})") from None
    except EOFError:
        raise FileError(path, "not a whole .gz file") from None
