"""Definitions and descriptions in other languages than English, as a table to learn contexts from.

English ones stand in the knowledge base. What its sources say in other languages no release keeps,
so it is read from the snapshot's files: Wikidata's descriptions, and translated definitions of the
Human Phenotype Ontology and the Disease Ontology.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import typer

from bioelx.errors import BioelxError, FileError
from bioelx_index.sources.curie import parse
from bioelx_index.sources.files import read_lines
from bioelx_index.sources.tables import headed_rows

SCHEMA = pa.schema({"curie": pa.string(), "lang": pa.string(), "text": pa.string()})
DEFINITION = "IAO:0000115"
_DESCRIBED = re.compile(
    r"<http://www\.wikidata\.org/entity/(Q\d+)> <http://schema\.org/description> "
    r'("(?:[^"\\]|\\.)*")@([\w-]+) \.'
)


class Passage(NamedTuple):
    """What a source says of a concept in a language."""

    curie: str
    lang: str
    text: str


def of_wikidata(path: Path) -> Iterator[Passage]:
    """The descriptions in a slice of Wikidata in N-Triples that are not English."""
    for _, line in read_lines(path):
        if (found := _DESCRIBED.fullmatch(line)) and not found[3].startswith("en"):
            # The escapes of N-Triples are JSON's, but for the long \U.
            text = re.sub(r"\\U([0-9A-Fa-f]{8})", lambda at: chr(int(at[1], 16)), found[2])
            yield Passage(f"wikidata:{found[1]}", found[3], json.loads(text))


def of_babelon(path: Path) -> Iterator[Passage]:
    """The definitions that a Babelon table translates."""
    columns = ("subject_id", "predicate_id", "translation_language", "translation_value")
    for _, row in headed_rows(path, columns):
        curie = parse(row["subject_id"])
        if row["predicate_id"] == DEFINITION and curie and row["translation_value"]:
            yield Passage(curie, row["translation_language"], row["translation_value"])


def of_doid_es(path: Path) -> Iterator[Passage]:
    """The Spanish definitions of the Disease Ontology that no stray line end tore apart."""
    columns = ("source_id", "predicate", "translation_text", "translation_lang")
    for _, row in headed_rows(path, columns):
        curie = parse(row["source_id"])
        if row["predicate"] == DEFINITION and curie and row["translation_text"]:
            yield Passage(curie, row["translation_lang"], row["translation_text"])


def of_snapshot(data: Path) -> Iterator[Passage]:
    """All that a snapshot's folder holds.

    Raises:
        FileError: it holds nothing of the kind, or a file is malformed.
    """
    readers = (
        (of_wikidata, "wikidata/*.nt*"),
        (of_babelon, "ontologies/hpo/translations/*.babelon*.tsv*"),
        (of_doid_es, "ontologies/doid/doid-es-translated.tsv*"),
    )
    found = [(read, path) for read, pattern in readers for path in sorted(data.glob(pattern))]
    if not found:
        raise FileError(data, "holds no file with descriptions in other languages")
    for read, path in found:
        yield from read(path)


def read_passages(path: Path) -> list[Passage]:
    """Raises FileError where the file is missing or has no columns curie, lang, text."""
    try:
        table = pq.read_table(path, columns=SCHEMA.names)
    except (OSError, pa.ArrowInvalid) as error:
        raise FileError(path, f"not a Parquet file of curie, lang, text ({error})") from None
    return list(map(Passage, *(table[name].to_pylist() for name in SCHEMA.names)))


def main(
    data: Annotated[Path, typer.Option(help="Folder of a snapshot, as 'bioelx build --data'.")],
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
) -> None:
    """Gather definitions in other languages than English, for 'bioelx train ranker'.

    Example: python -m bioelx_index.train.ranker.passages --data data --out passages.parquet
    """
    try:
        found = list(dict.fromkeys(of_snapshot(data)))
    except BioelxError as error:
        raise SystemExit(f"error: {error}") from None
    columns = zip(*found, strict=True)
    pq.write_table(pa.table(dict(zip(SCHEMA.names, map(list, columns), strict=True)), SCHEMA), out)
    languages = len({passage.lang for passage in found})
    typer.echo(f"{out}: {len(found):,} passages in {languages} languages")


if __name__ == "__main__":
    typer.run(main)
