"""What the readers make of the sources, beside a table that others made of the same raw files.

    python -m bioelx_index.benchmark.aliases --aliases FILE [--data DIR] [--tables DIR]

FILE is a Parquet table, a row a name, with the columns entity_id, source, lang, name and xrefs
(CURIEs). Names are counted once a thing, language and normal form; ids are those that any thing
has for its own or for an xref. With `--tables` the merged tables (Parquet) of a build stand beside
both.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, NamedTuple

import pyarrow.parquet as pq
import typer
from rich.console import Console

from bioelx.errors import FileError
from bioelx.kb import normalise
from bioelx.kb.tables import CONCEPTS_FILE, NAMES_FILE
from bioelx.settings import shipped
from bioelx.types import Name, Status
from bioelx_index.progress import Stages
from bioelx_index.pulls import pull_slice
from bioelx_index.sources.config import WIKIDATA, SourceConfig, read_sources
from bioelx_index.sources.curie import parse, scheme_of
from bioelx_index.sources.wikidata.folder import RECORDS_FILE

_COLUMNS = ["entity_id", "source", "lang", "name", "xrefs"]
_NO_NAME = Name("", "", "alias", "")  # of a record that has xrefs only


class Statement(NamedTuple):
    """One name of one thing, and the thing's xrefs, as a source has them."""

    source: str
    concept_id: str
    lang: str
    text: str
    xrefs: tuple[str, ...]


@dataclass
class Census:
    """What is counted of statements."""

    things: set[tuple[str, str]] = field(default_factory=set)
    """(source, id) of what has a name."""
    names: set[tuple[str, str, str, str]] = field(default_factory=set)
    """(source, id, language, normal form)."""
    ids: set[str] = field(default_factory=set)

    def by_source(self) -> tuple[Counter[str], Counter[str]]:
        """Things and names of each source."""
        return Counter(of[0] for of in self.things), Counter(of[0] for of in self.names)

    def by_language(self) -> Counter[str]:
        """Distinct names of each language, whatever they name."""
        return Counter(lang for lang, _ in {(lang, key) for _, _, lang, key in self.names})

    def by_scheme(self) -> Counter[str]:
        """Distinct ids of each scheme."""
        return Counter(map(scheme_of, self.ids))


def take(statements: Iterable[Statement]) -> Census:
    """Counts statements; names without a visible character are left out."""
    census = Census()
    for source, concept_id, lang, text, xrefs in statements:
        census.ids.update((concept_id, *xrefs))
        if key := normalise(text):
            census.things.add((source, concept_id))
            census.names.add((source, concept_id, lang, key))
    return census


def read_aliases(path: Path, sources: Iterable[str]) -> Iterator[Statement]:
    """Streams the names of such a table that are of `sources`; a source's year is passed over
    (`ordo2018`).

    Raises:
        FileError: not such a table.
    """
    wanted = set(sources)
    try:
        with pq.ParquetFile(path) as file:
            if missing := [name for name in _COLUMNS if name not in file.schema_arrow.names]:
                raise FileError(path, f"no column {missing[0]!r}")
            for batch in file.iter_batches(20_000, columns=_COLUMNS):
                for row in batch.to_pylist():
                    source = row["source"]
                    if source not in wanted:
                        source = source.rstrip("0123456789")
                    if source in wanted:
                        own = parse(row["entity_id"]) or row["entity_id"].lower()
                        xrefs = tuple(filter(None, map(parse, row["xrefs"] or ())))
                        yield Statement(source, own, row["lang"], row["name"], xrefs)
    except FileNotFoundError:
        raise FileError(path, "no such file") from None
    except OSError as error:
        raise FileError(path, f"not a whole Parquet file ({error})") from None


def read_snapshot(sources: Iterable[SourceConfig], scratch: Path) -> Iterator[Statement]:
    """Streams what the readers make of a snapshot's sources; what they retire is left out."""
    for source in sources:
        if source.reader == WIKIDATA:
            pull_slice(source, scratch, stages=Stages(Console(quiet=True)))
            source = replace(source, reader="pulled", files=(scratch / RECORDS_FILE,))
        for record in source.records():
            xrefs = (*record.equivalent, *record.related)
            if record.status is Status.ACTIVE:
                for text, lang, *_ in record.names or [_NO_NAME]:
                    yield Statement(source.name, record.concept_id, lang, text, xrefs)


def read_tables(folder: Path) -> Iterator[Statement]:
    """Streams the names of a build's merged tables."""
    concepts = pq.read_table(folder / CONCEPTS_FILE, columns=["concept_id", "xrefs"])
    xrefs = {row["concept_id"]: tuple(row["xrefs"]) for row in concepts.to_pylist()}
    for row in pq.read_table(folder / NAMES_FILE).to_pylist():
        concept_id = row["concept_id"]
        yield Statement(row["source"], concept_id, row["lang"], row["text"], xrefs[concept_id])


def as_markdown(title: str, theirs: Counter[str], *ours: Counter[str], least: int = 1) -> str:
    """A table of counts with the difference of the first of ours to theirs in percent; rows with
    fewer than `least` everywhere are added up in the last."""
    keys = sorted(theirs.keys() | ours[0].keys(), key=lambda key: (-theirs[key], key))
    shown = [key for key in keys if max(theirs[key], *(o[key] for o in ours)) >= least]
    rest = [key for key in keys if key not in set(shown)]
    heads = ["table", "readers", "merged"][: 1 + len(ours)]
    lines = [f"| {title} | {' | '.join(heads)} | readers less table |"]
    lines.append(f"|---|{'--:|' * (len(heads) + 1)}")
    rows = [(key, [key]) for key in shown] + ([(f"{len(rest)} more", rest)] if rest else [])
    for name, group in rows:
        counts = [sum(counter[key] for key in group) for counter in (theirs, *ours)]
        change = f"{100 * (counts[1] / counts[0] - 1):+.1f} %" if counts[0] else "new"
        lines.append(f"| {name} | {' | '.join(f'{n:,}' for n in counts)} | {change} |")
    return "\n".join(lines)


def main(
    aliases: Annotated[Path, typer.Option(help="The other table, Parquet.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder with sources.toml. Default: the shipped snapshot.")
    ] = None,
    tables: Annotated[
        Path | None, typer.Option(help="Folder with a build's merged tables, Parquet.")
    ] = None,
) -> None:
    """Count things, names and ids of a snapshot as the readers read it, beside another table."""
    sources = read_sources(data or shipped("data"))
    with tempfile.TemporaryDirectory() as scratch:
        ours = [take(read_snapshot(sources, Path(scratch)))]
    theirs = take(read_aliases(aliases, [source.name for source in sources]))
    if tables:
        ours.append(take(read_tables(tables)))
    things, names = zip(*(census.by_source() for census in (theirs, *ours)), strict=True)
    typer.echo(as_markdown("things with a name, by source", things[0], things[1]) + "\n")
    typer.echo(as_markdown("names, by source", *names) + "\n")
    by_language = [census.by_language() for census in (theirs, *ours)]
    typer.echo(as_markdown("distinct names, by language", *by_language, least=1000) + "\n")
    by_scheme = [census.by_scheme() for census in (theirs, *ours)]
    typer.echo(as_markdown("ids, by scheme", *by_scheme, least=10))


if __name__ == "__main__":
    typer.run(main)
