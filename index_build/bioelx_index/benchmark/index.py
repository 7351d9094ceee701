"""What each kind of index costs and finds: the measurements behind the choice by size.

    python -m bioelx_index.benchmark.index --release DIR --cache DIR

Builds indexes over parts of a release's names and searches them for perturbed names on one thread;
over all of them the release's own index is not built again. Times are processor time, so that what
else the machine does counts for little. With the release's vectors in the cache nothing but the
perturbed names is encoded.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import process_time

import numpy as np

from bioelx.encoding import open_encoder
from bioelx.kb import KnowledgeBase
from bioelx.release import read_manifest
from bioelx.search.index import EF_SEARCH, INDEX_FILE, NPROBE, Float32, NameIndex
from bioelx.settings import IndexSettings
from bioelx_index.recall import HeldOut, exact_cosines, held_out, measure_recall
from bioelx_index.vectors import encode_names

_SEED = 20261124
_TIMED = 64  # queries a time is taken of
_HEAD = (
    "| names | index | build s | file MB | one by one, ms | 32 together, ms each | recall@10 "
    "| recall@50 |"
)


def kinds(names: int) -> Iterator[tuple[str, list[dict[str, int]]]]:
    """Factory strings with the parameters to search them with."""
    for factory in ("Flat", "SQfp16", "SQ8"):
        yield factory, [{}]
    yield "HNSW32,SQ8", [{EF_SEARCH: ef} for ef in (64, 128, 192, 256)]
    yield f"IVF{4 * math.isqrt(names)},SQ8", [{NPROBE: nprobe} for nprobe in (32, 64, 128)]


def measure(
    vectors: Float32,
    queries: HeldOut,
    wanted: Sequence[str],
    built: Path | None,
    say: Callable[[str], None],
) -> None:
    """Says a row of the table for every kind of index of these vectors.

    Args:
        wanted: what the factory strings of the kinds start with.
        built: folder of a release whose index of just these vectors need not be built again.
    """
    settings = IndexSettings(device="cpu")
    exact = exact_cosines(vectors, queries)
    known = read_manifest(built).index.factory if built else ""
    for factory, searches in kinds(len(vectors)):
        if not factory.startswith(tuple(wanted)):
            continue
        with tempfile.TemporaryDirectory() as scratch:
            folder, seconds = Path(scratch), "-"
            if built and factory == known:
                folder = built
            else:
                started = process_time()
                NameIndex.build(vectors, factory=factory, settings=settings).save(folder)
                seconds = f"{process_time() - started:.0f}"
            size = (folder / INDEX_FILE).stat().st_size / 1e6
            for parameters in searches:
                index = NameIndex.open(folder, factory, parameters, threads=1, settings=settings)
                index.search(queries.vectors[:_TIMED], 10)  # its pages are read
                alone = _milliseconds(index, queries.vectors[:_TIMED], 1)
                together = _milliseconds(index, queries.vectors[:_TIMED], 32)
                recall = measure_recall(index, vectors, queries, exact)
                how = ", ".join([factory, *(f"{name} {n}" for name, n in parameters.items())])
                say(
                    f"| {len(vectors):,} | {how} | {seconds} | {size:.0f} | {alone:.2f} "
                    f"| {together:.2f} | {recall.at_10:.3f} | {recall.at_50:.3f} |"
                )


def _milliseconds(index: NameIndex, vectors: Float32, batch: int) -> float:
    """Processor time of a query."""
    started = process_time()
    for start in range(0, len(vectors), batch):
        index.search(vectors[start : start + batch], 64)
    return (process_time() - started) * 1000 / len(vectors)


def _part(vectors: Float32, queries: HeldOut, names: int) -> tuple[Float32, HeldOut]:
    """So many vectors, the queries' own among them."""
    own = np.unique(queries.texts)
    others = np.setdiff1d(np.arange(len(vectors)), own)
    more = np.random.default_rng(_SEED).choice(others, names - len(own), replace=False)
    chosen = np.sort(np.concatenate([own, more]))
    return vectors[chosen], queries._replace(texts=np.searchsorted(chosen, queries.texts))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bioelx_index.benchmark.index",
        description="Measures kinds of index over a release's names.",
    )
    parser.add_argument("--release", type=Path, required=True, help="folder of a release")
    parser.add_argument("--cache", type=Path, required=True, help="BIOELX_HOME/cache/vectors")
    parser.add_argument("--names", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument(
        "--index",
        nargs="+",
        default=["Flat", "SQ", "HNSW", "IVF"],
        help="starts of factories",
    )
    options = parser.parse_args()
    knowledge_base = KnowledgeBase.open(options.release)
    encoder = open_encoder(options.release / "encoder", threads=1)
    vectors, _ = encode_names(knowledge_base.texts.to_pylist(), encoder, options.cache)
    queries = held_out(knowledge_base, encoder, options.queries)
    print(_HEAD, "|---|---|---|---|---|---|---|---|", sep="\n", flush=True)
    for names in options.names:
        whole = names >= len(vectors)
        part, held = (vectors, queries) if whole else _part(vectors, queries, names)
        built = options.release if whole else None
        measure(part, held, options.index, built, say=lambda row: print(row, flush=True))


if __name__ == "__main__":
    main()
