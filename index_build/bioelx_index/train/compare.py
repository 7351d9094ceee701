"""What an exported encoder loses against its fp32 parent, and what it gains in speed.

Names are a Parquet file with columns lang, name and xrefs (a list of CURIEs); queries a
tab-separated file with columns language, gold (ids joined by `|`) and mention. Recall@k is the
share of queries with a right concept among the first k, a concept ranking by its best name,
averaged over the languages. The parent runs with torch and takes the longest by far: --cache keeps
its vectors.
"""

from __future__ import annotations

import csv
import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bioelx.encoding import Encoder, open_encoder
from bioelx.errors import FileError
from bioelx.kb.normalise import normalise

CHUNK = 4096  # texts encoded between two steps of the progress bar
NEIGHBOURS = 100  # names looked at for each query: enough to hold five concepts
RUNS = 15  # timings taken of each encoder and batch, in turn; the median counts

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Query:
    """A mention with its language and the ids, without scheme, of which any is right."""

    language: str
    gold: frozenset[str]
    mention: str


@dataclass(frozen=True)
class Names:
    """The distinct names of concepts that have an id, with the ids of each, and all names by
    language."""

    texts: Sequence[str]
    ids: Sequence[frozenset[str]]
    by_language: Mapping[str, Sequence[str]]


def read_names(path: Path, scheme: str, form: Callable[[str], str] = str) -> Names:
    """Read names, brought into a `form`, with their ids of a `scheme` (`umls`).

    Raises FileError if the file or a column is missing.
    """
    try:
        columns = pq.read_table(path, columns=["lang", "name", "xrefs"]).to_pydict()
    except (OSError, ValueError, KeyError) as error:
        raise FileError(path, f"cannot be read: {error}") from error
    prefix = f"{scheme}:".lower()
    ids: dict[str, set[str]] = defaultdict(set)
    languages: dict[str, set[str]] = defaultdict(set)
    for lang, name, xrefs in zip(columns["lang"], columns["name"], columns["xrefs"], strict=True):
        languages[lang].add(name)
        own = {ref[len(prefix) :] for ref in xrefs or () if ref.lower().startswith(prefix)}
        if own:
            ids[form(name)] |= own
    texts = sorted(ids)
    return Names(
        texts,
        [frozenset(ids[text]) for text in texts],
        {lang: sorted(map(form, names)) for lang, names in sorted(languages.items())},
    )


def read_queries(path: Path, form: Callable[[str], str] = str) -> list[Query]:
    """Read queries, mentions brought into a `form`; raise FileError if a column is missing."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
        return [
            Query(row["language"], frozenset(row["gold"].split("|")), form(row["mention"]))
            for row in rows
        ]
    except (OSError, KeyError, ValueError) as error:
        raise FileError(path, f"cannot be read: {error}") from error


def sample(names: Names, languages: int, each: int) -> list[str]:
    """`each` names, evenly spaced in code point order, of the `languages` with most names."""
    largest = sorted(names.by_language.values(), key=len, reverse=True)[:languages]
    return [text for texts in largest for text in texts[:: max(1, len(texts) // each)][:each]]


def first_concepts(
    query: Floats, vectors: Floats, ids: Sequence[frozenset[str]], top: int
) -> list[frozenset[str]]:
    """The ids of the `top` names nearest to `query`, leaving out names that add no new id."""
    scores = vectors @ query
    near = np.argsort(-scores, kind="stable")[:NEIGHBOURS]
    seen: set[str] = set()
    found = []
    for row in near:
        if not ids[row] <= seen:
            found.append(ids[row])
            seen |= ids[row]
    return found[:top]


def recall(
    queries: Sequence[Query], vectors: Floats, names: Names, name_vectors: Floats
) -> dict[str, tuple[float, float]]:
    """Recall@1 and @5 by language, and their mean over the languages as `all`."""
    hits: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for query, vector in zip(queries, track(vectors, "Searching"), strict=True):
        found = first_concepts(vector, name_vectors, names.ids, 5)
        right = [bool(query.gold & ids) for ids in found]
        hits[query.language].append((any(right[:1]), any(right)))
    shares = {language: np.mean(own, axis=0) for language, own in hits.items()}
    shares["all"] = np.mean(list(shares.values()), axis=0)
    return {language: (float(one), float(five)) for language, (one, five) in shares.items()}


def encode(encoder: Encoder, texts: Sequence[str], description: str) -> Floats:
    """Vectors of `texts`, with progress shown."""
    starts = track(range(0, len(texts), CHUNK), description)
    return np.concatenate([encoder.encode(texts[start : start + CHUNK]) for start in starts])


def encode_cached(encoder: Encoder, texts: Sequence[str], cache: Path | None) -> Floats:
    """The same, read from or written to `cache`; FileError if that was made of other texts."""
    key = hashlib.sha256("\n".join([encoder.card.name, *texts]).encode()).hexdigest()
    if cache is not None and cache.exists():
        with np.load(cache) as stored:
            if str(stored["key"]) != key:
                raise FileError(cache, "holds the vectors of another parent or other texts")
            vectors: Floats = stored["vectors"]
            return vectors
    vectors = encode(encoder, texts, "fp32 parent")
    if cache is not None:
        np.savez(cache, key=key, vectors=vectors)
    return vectors


def milliseconds(encoders: Sequence[Encoder], texts: Sequence[str]) -> list[float]:
    """The median time of each encoder for `texts`, timed in turn so that all share the weather."""
    times: list[list[float]] = [[] for _ in encoders]
    for run in range(RUNS + 1):
        for encoder, own in zip(encoders, times, strict=True):
            start = time.perf_counter()
            encoder.encode(texts)
            if run:  # the first is a warm-up
                own.append(1000 * (time.perf_counter() - start))
    return [float(np.median(own)) for own in times]


def main(
    encoder: Annotated[Path, typer.Option(help="Exported folder, with encoder.json.")],
    parent: Annotated[Path, typer.Option(help="sentence-transformers folder, fp32, uncut.")],
    names: Annotated[Path, typer.Option(help="Parquet: lang, name, xrefs.")],
    queries: Annotated[Path, typer.Option(help="TSV: language, gold, mention.")],
    scheme: Annotated[str, typer.Option(help="Scheme of the gold ids among the xrefs.")] = "umls",
    normalised: Annotated[bool, typer.Option(help="Encode texts in BioELX's normal form.")] = False,
    languages: Annotated[int, typer.Option(help="Languages of the sample for the cosine.")] = 20,
    each: Annotated[int, typer.Option(help="Names of each of these languages.")] = 100,
    threads: Annotated[int, typer.Option(help="Threads; the speed table needs 1.")] = 1,
    cache: Annotated[Path | None, typer.Option(help="npz file that keeps the parent's.")] = None,
) -> None:
    """Compare an exported encoder with its fp32 parent: cosine, recall and speed."""
    from bioelx.encoding.torch import TorchEncoder

    exported = open_encoder(encoder, threads=threads)
    card = replace(exported.card, name=str(parent.resolve()), format="torch")
    full = TorchEncoder(parent, card, threads=threads)
    form = normalise if normalised else str
    known, asked = read_names(names, scheme, form), read_queries(queries, form)
    spread = sample(known, languages, each)
    texts = [*known.texts, *(query.mention for query in asked), *spread]
    vectors = {
        "fp32": encode_cached(full, texts, cache),
        "exported": encode(exported, texts, "exported"),
    }

    console = Console()
    cosines = (vectors["fp32"][-len(spread) :] * vectors["exported"][-len(spread) :]).sum(1)
    console.print(
        f"cosine over {len(spread):,} names in {languages} languages: "
        f"mean {cosines.mean():.5f}, lowest {cosines.min():.5f}"
    )
    end = len(known.texts) + len(asked)
    found = {
        who: recall(asked, v[len(known.texts) : end], known, v[: len(known.texts)])
        for who, v in vectors.items()
    }
    title = f"Recall over {len(asked):,} queries, {len(known.texts):,} names"
    table = Table("language", "fp32 R@1", "R@5", "exported R@1", "R@5", title=title)
    for language in found["fp32"]:
        shares = (*found["fp32"][language], *found["exported"][language])
        table.add_row(language, *(f"{100 * share:.1f}" for share in shares))
    console.print(table)

    table = Table("batch", "fp32 ms", "exported ms", "times faster", title=f"{threads} thread(s)")
    for batch in (1, 32):
        slow, fast = milliseconds([full, exported], spread[:: max(1, len(spread) // batch)][:batch])
        table.add_row(str(batch), f"{slow:.1f}", f"{fast:.1f}", f"{slow / fast:.2f}")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
