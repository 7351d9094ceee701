"""``python -m bioelx_index.snapshot``: makes the shipped knowledge from raw sources."""

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from bioelx.errors import FileError
from bioelx_index.snapshot import ontologies, papers
from bioelx_index.snapshot.catalogue import SOURCES, Source
from bioelx_index.snapshot.derived import matchable, tico_names, title_names, to_tsv
from bioelx_index.snapshot.raw_wikidata import read_all
from bioelx_index.snapshot.things import Things
from bioelx_index.snapshot.xz import write_xz
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.registry import READERS


def make(
    sources: Annotated[
        Path,
        typer.Option(
            help="Folder of raw sources, one subfolder a source. The README of the snapshot says "
            "where the public gets each file.",
            exists=True,
            file_okay=False,
        ),
    ],
    titles: Annotated[
        Path,
        typer.Option(
            help="Wikipedia titles by subject: a Parquet file with the columns item (a running "
            "number), lang and title.",
            exists=True,
            dir_okay=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="The snapshot's folder.")] = Path("data"),
) -> None:
    """Make the open snapshot that `bioelx build` takes by default.

    Recompresses the ontologies as they are, writes what the raw files say of Wikidata's items as
    N-Triples in Wikidata's own vocabulary, matches names that carry no identifier to concepts by
    their English string (into files of their own), and writes sources.toml, LICENSES.md and
    README.md. Takes about four minutes; a second run leaves every file as it is.

    Example: python -m bioelx_index.snapshot --sources raw --titles titles.parquet --out data
    """
    try:
        _make(sources, titles, out)
    except (FileError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None


def _make(raw: Path, titles: Path, out: Path) -> None:
    for _ in track(ontologies.ship(raw, out), "ontologies", total=ontologies.count()):
        pass

    typer.echo("Wikidata's items")
    wikidata = read_all(raw)
    write_xz(out / "wikidata/slice.nt.xz", _lines(wikidata.statements()))
    write_xz(out / "derived/wikidata_classes.nt.xz", _lines(wikidata.memberships()))

    tally, things = papers.Tally(), Things()
    things.add(matchable(tally.count("wikidata", wikidata.concepts())))
    for source in track(SOURCES, "what the ontologies call things"):
        if not any(name.startswith(("wikidata/", "derived/")) for name in source.files):
            things.add(tally.count(source.name, _read(source, out)))

    typer.echo("names matched by string")
    tico, theirs = (
        tico_names(raw / "tico19/data/terminologies", things),
        title_names(titles, things),
    )
    write_xz(out / "derived/tico19.tsv.xz", to_tsv(tico))
    write_xz(out / "derived/titles.tsv.xz", to_tsv(theirs))
    for source in SOURCES:
        if source.reader == "derived":
            deque(tally.count(source.name, _read(source, out)), maxlen=0)

    (out / "sources.toml").write_text(papers.sources_toml(out), encoding="utf-8")
    (out / "LICENSES.md").write_text(papers.licences_md(raw), encoding="utf-8")
    (out / "README.md").write_text(papers.readme_md(out, tally), encoding="utf-8")
    typer.echo(f"{out}: {papers.megabytes(out):.1f} MB compressed")


def _read(source: Source, out: Path) -> Iterator[SourceConcept]:
    return READERS[source.reader](source.name, [out / name for name in source.files])


def _lines(statements: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in sorted(set(statements))).encode()


if __name__ == "__main__":
    typer.run(make)
