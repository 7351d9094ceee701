"""The UMLS Metathesaurus, from the user's own licensed copy of its RRF files.

The files are those of the UMLS Reference Manual, chapter 3, plain or .gz, whole or in the parts
that the distribution cuts large ones into (``MRCONSO.RRF.aa.gz``, ``MRCONSO.RRF.ab.gz``). All are
in the order of their CUIs: they are read in step, and memory does not grow with their size.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import langcodes
from pydantic import field_validator

from bioelx.errors import FileError
from bioelx.types import Name, Status
from bioelx_index.kinds import UMLS_SEMANTIC_TYPES
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.curie import curie
from bioelx_index.sources.files import open_bytes
from bioelx_index.sources.options import Language, Options

_COLUMNS = {"MRCONSO": 18, "MRSTY": 6, "MRDEF": 8, "MRCUI": 7, "MRFILES": 6}
_NEEDED = ("MRCONSO", "MRSTY")
_FILE = re.compile(rf"({'|'.join(_COLUMNS)})\.RRF(?:\.(?!gz)([a-z]{{2}}))?(?:\.gz)?")
_CUI = re.compile(r"C\d{7}")
_PREFERENCE = itemgetter(2, 4, 6)


class Code(NamedTuple):
    """Of which terms the codes of a vocabulary stand for the whole concept, in which scheme."""

    scheme: str
    term_types: frozenset[str]
    exact: bool = True


CODES: dict[str, Code] = {
    "MSH": Code("mesh", frozenset({"MH", "NM"})),  # descriptors and supplementary records
    "SNOMEDCT_US": Code("snomedct", frozenset({"PT"})),
    "HPO": Code("hp", frozenset({"PT"})),
    "OMIM": Code("omim", frozenset({"PT"})),
    "NCI": Code("ncit", frozenset({"PT"})),
    "MDR": Code("meddra", frozenset({"PT"})),
    "GO": Code("go", frozenset({"PT"})),
    "FMA": Code("fma", frozenset({"PT"})),
    "HGNC": Code("hgnc", frozenset({"PT"})),
    "NCBI": Code("ncbitaxon", frozenset({"SCN"})),  # scientific names
    "DRUGBANK": Code("drugbank", frozenset({"IN"})),  # ingredients
    # These say themselves, and with more care, which concept of the UMLS they mean.
    "MONDO": Code("mondo", frozenset({"PT"}), exact=False),
    "ORPHANET": Code("orphanet", frozenset({"PT"}), exact=False),
    # Codes of classifications stand for groups of things.
    "ICD10": Code("icd10", frozenset({"PT", "HT"}), exact=False),
    "ICD10CM": Code("icd10cm", frozenset({"PT", "HT"}), exact=False),
    "ICD9CM": Code("icd9cm", frozenset({"PT", "HT"}), exact=False),
    "ATC": Code("atc", frozenset({"PT", "IN"}), exact=False),
}
"""Vocabularies whose codes become cross-references. The Metathesaurus puts terms of one meaning
into one concept, so the code of a vocabulary's preferred term means that concept; an entry term
may carry the code of a wider one (in MeSH all terms of a descriptor do)."""

DEFINITIONS = ("MSH", "NCI", "HPO", "GO", "SNOMEDCT_US", "CSP")
"""Vocabularies by how well their definitions describe; then all others by name."""


class UmlsOptions(Options):
    """Which part of the Metathesaurus is taken."""

    exclude_vocabularies: tuple[str, ...] = ()
    """Vocabularies (SAB) of which nothing is taken: no names, codes or definitions."""
    restriction_levels: tuple[int, ...] = ()
    """Categories of licence (SRL, 0 to 4 and 9) of the terms to take; without them, all."""
    languages: tuple[Language, ...] = ()
    """Languages of the names to take; without them, all."""

    @field_validator("languages")
    @classmethod
    def _have_no_region(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        for tag in tags:
            if "-" in tag:
                raise ValueError(f"{tag!r}: the Metathesaurus knows languages only, no regions")
        return tags


class _Row(NamedTuple):
    """One line's cells, and where it stands."""

    path: Path
    number: int
    cells: list[str]


def read(
    source: str, files: Sequence[Path], options: UmlsOptions | None = None
) -> Iterator[SourceConcept]:
    """Reads MRCONSO and MRSTY, and what else of MRDEF, MRCUI and MRFILES is there. Suppressible
    and obsolete rows (SUPPRESS other than N) are left out.

    A CUI that MRCUI knows and MRCONSO does not is retired. One that was merged into another (SY)
    is succeeded by it. One that was deleted (DEL), split between several, or given to a broader,
    narrower or otherwise related concept (RB, RN, RO) has no successor; those are related to it.

    Raises:
        FileError: a file is missing or broken; a line does not have its columns or is out of
            order; the rows are not as many as MRFILES says; a vocabulary to be excluded has none.
    """
    options = options or UmlsOptions()
    tables = arrange(files)
    counts = _counts(tables)
    excluded: set[str] = set()
    in_step = (_by_cui(table, tables[table], counts) for table in tables if table != "MRFILES")
    for cui, found in groupby(merge(*in_step, key=itemgetter(0)), key=itemgetter(0)):
        rows = {table: group for _, table, group in found}
        if "MRCONSO" in rows:
            taken = _taken(rows["MRCONSO"], options, excluded)
            concept = _active(source, cui, taken, rows, options)
            if concept.names:
                yield concept
        elif "MRCUI" in rows:
            yield _retired(cui, rows["MRCUI"])
    # Licences hang on it: a name that is spelled otherwise here must not pass for an exclusion.
    if unknown := set(options.exclude_vocabularies) - excluded:
        message = f"exclude_vocabularies: there is no row of {', '.join(sorted(unknown))}"
        raise FileError(tables["MRCONSO"][0], message)


def find(folder: Path) -> list[Path]:
    """The files in a folder that `read` would take.

    Raises:
        FileError: the folder lacks one that is needed, or holds one twice or in part.
    """
    found = sorted(path for path in folder.glob("MR*.RRF*") if _FILE.fullmatch(path.name))
    if not found:
        raise FileError(folder, "holds no MRCONSO.RRF, whole or in parts, plain or .gz")
    arrange(found)
    return found


def arrange(files: Iterable[Path]) -> dict[str, list[Path]]:
    """The parts of each table, by its name, in their order.

    Raises:
        FileError: a needed table is missing, or one is there twice or in part.
    """
    parts: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in files:
        match = _FILE.fullmatch(path.name)
        if match is None:
            known = ", ".join(f"{table}.RRF" for table in _COLUMNS)
            raise FileError(path, f"none of the UMLS files that are read: {known}")
        table, part = match.groups(default="")
        if part in parts[table]:
            raise FileError(path, f"stands beside {parts[table][part]}: which is it?")
        parts[table][part] = path
    for table in _NEEDED:
        if table not in parts:
            raise FileError(f"{table}.RRF", "not among the files of the UMLS source")
    for table, found in parts.items():
        if len(found) > 1 and "" in found:
            raise FileError(found[""], f"stands beside {max(found.items())[1]}: which is it?")
        for place, part in enumerate(sorted(found)):
            expected = f"{chr(ord('a') + place // 26)}{chr(ord('a') + place % 26)}"
            if part not in ("", expected):
                raise FileError(found[part], f"{table}.RRF.{expected} should come before it")
    return {table: [path for _, path in sorted(found.items())] for table, found in parts.items()}


# Files


def _by_cui(
    table: str, parts: Sequence[Path], counts: Mapping[str, int]
) -> Iterator[tuple[str, str, list[_Row]]]:
    """Yields (CUI, table, its rows), in ascending order."""
    current = ""
    group: list[_Row] = []
    for row in _rows(table, parts, counts):
        cui = row.cells[0]
        if cui != current:
            if not _CUI.fullmatch(cui):
                raise FileError(row.path, f"{cui!r} is no CUI", line=row.number)
            if cui < current:
                message = f"{cui} after {current}: sort the file by its first column"
                raise FileError(row.path, message, line=row.number)
            if group:
                yield current, table, group
            current, group = cui, []
        group.append(row)
    if group:
        yield current, table, group


def _rows(table: str, parts: Sequence[Path], counts: Mapping[str, int]) -> Iterator[_Row]:
    columns, rows = _COLUMNS[table], 0
    for path, number, line in _lines(parts):
        try:
            cells = line.decode("utf-8").split("|")
        except UnicodeDecodeError as error:
            raise FileError(path, f"not UTF-8 ({error.reason})", line=number) from None
        # RRF ends every cell, the last one too, with a bar.
        if len(cells) != columns + 1 or cells[-1].strip("\r\n"):
            found = len(cells) - 1
            raise FileError(path, f"{found} cells, not {columns}", line=number)
        rows += 1
        yield _Row(path, number, cells)
    if rows != counts.get(table, rows):
        message = f"{rows:,} rows, though MRFILES.RRF says {counts[table]:,}: some are missing"
        raise FileError(parts[-1], message)


def _lines(parts: Sequence[Path]) -> Iterator[tuple[Path, int, bytes]]:
    """Yields (file, line number, line); a line cut between two parts counts as the second's."""
    torn, at = b"", 0
    for path in parts:
        with open_bytes(path) as stream:
            for number, piece in enumerate(stream, start=1):
                line = torn + piece
                if line.endswith(b"\n"):
                    torn = b""
                    yield path, number, line
                else:
                    torn, at = line, number
    if torn:
        yield parts[-1], at, torn


def _counts(tables: Mapping[str, Sequence[Path]]) -> dict[str, int]:
    """How many rows MRFILES says that each table has, if it is there."""
    counts = {}
    for path, number, cells in _rows("MRFILES", tables.get("MRFILES", ()), {}):
        name, _, _, _, rows, *_ = cells
        if not rows.isdecimal():
            raise FileError(path, f"{rows!r} is no number of rows", line=number)
        counts[name.removesuffix(".RRF")] = int(rows)
    return counts


# Concepts


def _taken(rows: Iterable[_Row], options: UmlsOptions, excluded: set[str]) -> Iterator[_Row]:
    """Yields the rows that are not suppressed and whose licence the options allow; adds the
    vocabularies of those that they do not to `excluded`."""
    for row in rows:
        vocabulary, suppress = row.cells[11], row.cells[16]
        if vocabulary in options.exclude_vocabularies:
            excluded.add(vocabulary)
        elif suppress == "N" and (
            not options.restriction_levels or _level(row) in options.restriction_levels
        ):
            yield row


def _active(
    source: str,
    cui: str,
    taken: Iterable[_Row],
    rows: Mapping[str, list[_Row]],
    options: UmlsOptions,
) -> SourceConcept:
    names: dict[tuple[str, str], Name] = {}
    codes: dict[str, bool] = {}  # in the order of the rows
    languages: dict[str, str] = {}  # of the atoms
    for row in taken:
        language = languages[row.cells[7]] = _language(row)
        if not options.languages or language in options.languages:
            _add_name(names, source, language, row.cells)
        if code := _code(row.cells):
            codes.setdefault(*code)
    return SourceConcept(
        f"umls:{cui}",
        names=tuple(names.values()),
        description=_definition(rows.get("MRDEF", ()), languages),
        types=_types(rows.get("MRSTY", ())),
        equivalent=tuple(code for code, exact in codes.items() if exact),
        related=tuple(code for code, exact in codes.items() if not exact),
    )


def _add_name(
    names: dict[tuple[str, str], Name], source: str, language: str, cells: list[str]
) -> None:
    # TS, STT and ISPREF together mark the one preferred name of a concept and language.
    kind = "label" if _PREFERENCE(cells) == ("P", "PF", "Y") else "alias"
    text = cells[14]
    if (language, text) not in names or kind == "label":
        names[language, text] = Name(text, language, kind, source)


def _code(cells: list[str]) -> tuple[str, bool] | None:
    vocabulary, term_type, code = cells[11:14]
    known = CODES.get(vocabulary)
    if known is None or term_type not in known.term_types:
        return None
    found = curie(known.scheme, code)
    return (found, known.exact) if found else None


def _language(row: _Row) -> str:
    tag = _bcp47(row.cells[1])
    if tag is None:
        raise FileError(row.path, f"LAT {row.cells[1]!r} is no language", line=row.number)
    return tag


@cache
def _bcp47(lat: str) -> str | None:
    """`de` for `GER`: the Metathesaurus has the codes of ISO 639-2/B, and SCR for Croatian."""
    code = lat.lower()
    return langcodes.standardize_tag(code) if langcodes.tag_is_valid(code) else None


def _level(row: _Row) -> int:
    level = row.cells[15]
    if not level.isdecimal():
        raise FileError(row.path, f"SRL {level!r} is no number", line=row.number)
    return int(level)


def _types(rows: Iterable[_Row]) -> tuple[str, ...]:
    return tuple(sorted({UMLS_SEMANTIC_TYPES.get(row.cells[1], "other") for row in rows}))


def _definition(rows: Iterable[_Row], languages: Mapping[str, str]) -> str:
    """The definition in English, else in any language, of the first of `DEFINITIONS`; only of
    terms that are taken."""
    ranked = [
        (languages[atom] != "en", _rank(vocabulary), vocabulary, text)
        for _, atom, _, _, vocabulary, text, suppress, *_ in (row.cells for row in rows)
        if suppress == "N" and atom in languages
    ]
    return min(ranked)[-1] if ranked else ""


def _rank(vocabulary: str) -> int:
    return DEFINITIONS.index(vocabulary) if vocabulary in DEFINITIONS else len(DEFINITIONS)


def _retired(cui: str, rows: Iterable[_Row]) -> SourceConcept:
    """Columns: CUI1, VER, REL, RELA, MAPREASON, CUI2, MAPIN."""
    targets: dict[bool, dict[str, None]] = {True: {}, False: {}}
    for row in rows:
        relation, target = row.cells[2], row.cells[5]
        if target:
            targets[relation == "SY"][f"umls:{target}"] = None
    merged_into = list(targets[True])
    only = merged_into[0] if len(merged_into) == 1 else None
    return SourceConcept(
        f"umls:{cui}",
        related=tuple(other for other in {**targets[True], **targets[False]} if other != only),
        status=Status.RETIRED,
        replaced_by=only,
    )
