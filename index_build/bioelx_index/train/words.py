"""Glossaries out of a table of names, for `bioelx train encoder --set words=...`.

    python -m bioelx_index.train.words --aliases aliases.parquet --out words.parquet

Sources that tell no concept of the knowledge base by an id, such as TICO-19's terms or Wiktionary's
translations of everyday words, still tie the words of two languages together.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer

from bioelx.errors import FileError
from bioelx_index.train.settings import LANGUAGES

SOURCES = ("wiktionary_words", "tico19")
SPOKEN = (*LANGUAGES, *["bg", "ca", "da", "el", "fa", "he", "hi", "id", "nb", "no", "ro", "vi"])
"""More of TICO-19's hundred languages would take as many of the draws as all the others have."""

_COLUMNS = ("entity_id", "source", "lang", "name")


def read_glossary(path: Path, sources: Sequence[str], languages: Sequence[str]) -> pa.Table:
    """The names of some sources as a table of item (a running number), lang and title.

    Raises:
        FileError: the file is missing, has not the columns entity_id, source, lang, name, or holds
            nothing of these sources.
    """
    try:
        table = pq.read_table(path, columns=list(_COLUMNS))
    except (OSError, pa.ArrowInvalid) as error:
        raise FileError(path, f"not a Parquet file of {', '.join(_COLUMNS)} ({error})") from None
    entity, source, lang, name = (
        table[column].combine_chunks().cast(pa.string()) for column in _COLUMNS
    )
    primary = pc.list_element(pc.split_pattern(lang, "-"), 0)
    wanted = pc.and_(
        pc.is_in(source, pa.array(sources)), pc.is_in(primary, pa.array(languages, pa.string()))
    )
    items = entity.filter(wanted).dictionary_encode().indices.cast(pa.int64())
    if not len(items):
        raise FileError(path, f"holds nothing of {', '.join(sources)} in these languages")
    return pa.table({"item": items, "lang": lang.filter(wanted), "title": name.filter(wanted)})


def main(
    aliases: Annotated[Path, typer.Option(help="Parquet of entity_id, source, lang, name.")],
    out: Annotated[Path, typer.Option(help="Parquet of item, lang, title to write.")],
    source: Annotated[list[str], typer.Option(help="Sources to take; repeat.")] = list(SOURCES),  # noqa: B006
    language: Annotated[list[str], typer.Option(help="Languages to take; repeat.")] = list(SPOKEN),  # noqa: B006
) -> None:
    """Take glossaries out of a table of names."""
    table = read_glossary(aliases, source, language)
    pq.write_table(table, out)
    items = pc.count_distinct(table["item"]).as_py()
    print(f"{out}: {table.num_rows:,} words of {items:,} things")


if __name__ == "__main__":
    typer.run(main)
