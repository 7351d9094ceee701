"""How fast a pull from a dump is, beside the plain ways to read one.

    python -m bioelx_index.benchmark.dump --slice data/wikidata/slice.nt.xz --size 1GB

A dump in Wikidata's shape is generated: entities as large as real ones, of which three in a hundred
have an identifier that selects them. In one run it is then read by `gzip -dc | wc -l`, by a loop of
`json.loads`, and by the pull. Rates are unpacked bytes for a second of CPU time, that of all
processes together: what one core does, whatever else the machine is busy with.
"""
# ruff: noqa: S311, SIM115  (random data, no secrets; files that others close)

from __future__ import annotations

import argparse
import bz2
import functools
import gzip
import io
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import IO, Any

import orjson
import zstandard
from rich.console import Console
from rich.table import Table

from bioelx.errors import BioelxError
from bioelx_index.benchmark.enlarge import items
from bioelx_index.benchmark.entities import Filler, as_dump, as_json
from bioelx_index.progress import Stages
from bioelx_index.sources.wikidata.dump import pull_dump
from bioelx_index.sources.wikidata.folder import read_pull
from bioelx_index.sources.wikidata.selection import Selection

BAR = 3.0
"""How many times as fast as a loop of `json.loads` the pull from plain JSON has to be."""

FULL_DUMP_BYTES = 1.5e12
"""Unpacked. It was 1.4e12 on 1 July 2022, 71 GB as .bz2, says
https://github.com/TorbenRahbekKoch/wikidata/wiki/Wikidata-Json-Format"""
FULL_DUMP_CORES = 16

_UNITS = {"MB": 10**6, "GB": 10**9, "MiB": 1 << 20, "GiB": 1 << 30}
_MOST_ITEMS = 2_000_000  # that belong: enough for 700 GB
_NAMED = 20_000  # items whose labels are the texts of all else
_OTHER_STATEMENTS = 10  # of an item that belongs
_SELECTING = frozenset(Selection().properties)
_PACKED = (".gz", ".bz2", ".zst")


@dataclass(frozen=True, slots=True)
class Rate:
    """How long it took to read so many unpacked bytes; times in seconds."""

    unpacked: int
    wall: float
    cpu: float
    memory: int = 0
    """The most that the process held, in bytes, where it was measured."""

    @property
    def megabytes(self) -> float:
        """For a second of CPU time."""
        return self.unpacked / 1e6 / self.cpu


def write_dump(out: IO[bytes], slice_: Path, size: int, share: float, seed: int = 20) -> None:
    """Writes a dump of so many bytes, or an entity more.

    Args:
        slice_: N-Triples; its items, and copies of them, are those that belong.
        share: of the entities, that belong.
    """
    texts = [text for item in items(slice_, _NAMED) for text in item.labels.values()]
    filler, rng = Filler(texts, seed), random.Random(seed)
    wanted = (item for item in items(slice_, _MOST_ITEMS) if _SELECTING & item.claims.keys())

    def lines() -> Iterator[bytes]:
        for number in count():
            if rng.random() < share:
                item = next(wanted)
                yield as_json(item, filler.statements(rng, int(item.qid[1:]), _OTHER_STATEMENTS))
            else:
                yield filler.line(number)

    written = 0

    def enough() -> Iterator[bytes]:
        for line in lines():
            yield line
            if written >= size:
                return

    for piece in as_dump(enough()):
        written += out.write(piece)


def measure(work: Callable[[], object], unpacked: int) -> Rate:
    """Does some work that reads so many unpacked bytes."""
    before, began = os.times(), time.perf_counter()
    work()
    after = os.times()
    return Rate(unpacked, time.perf_counter() - began, sum(after[:4]) - sum(before[:4]))


def _parse_all(dump: Path, loads: Callable[[bytes], object]) -> None:
    """What a first attempt at a dump does: parses every line."""
    with dump.open("rb") as lines:
        for line in lines:
            if line.startswith(b"{"):
                loads(line.rstrip(b",\n"))


def _count_lines(packed: Path) -> None:
    with subprocess.Popen(["gzip", "-dc", str(packed)], stdout=subprocess.PIPE) as unpacking:
        subprocess.run(["wc", "-l"], stdin=unpacking.stdout, stdout=subprocess.DEVNULL, check=True)


def _pull(dump: Path, workers: int, unpacked: int) -> Rate:
    """Pulls in this process, which does nothing else, so that its memory can be told."""
    folder = dump.with_name("pull")
    shutil.rmtree(folder, ignore_errors=True)
    stages = Stages(Console(file=io.StringIO()))
    rate = measure(
        lambda: pull_dump(dump, folder, Selection(), workers=workers, stages=stages), unpacked
    )
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return replace(rate, memory=sum(each.ru_maxrss for each in used) << 10)


def _measured_pull(dump: Path, workers: int, unpacked: int) -> Rate:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(_pull, dump, workers, unpacked).result()


def _pack(dump: Path, packed: Path, size: int) -> int:
    """Packs the first lines of a dump, of so many bytes, as an array; returns their size."""
    openers: dict[str, Callable[[Path], Any]] = {
        ".gz": lambda path: gzip.open(path, "wb", 6),
        ".bz2": lambda path: bz2.open(path, "wb"),
        ".zst": lambda path: zstandard.open(path, "wb"),
    }
    written = 0
    with dump.open("rb") as lines, openers[packed.suffix](packed) as out:
        for line in lines:
            if written >= size or line == b"]\n":
                break
            out.write(line)
            written += len(line)
        out.write(b"]\n")
    return written + 2


def benchmark(options: argparse.Namespace, scratch: Path, console: Console) -> bool:
    """Measures, and shows what came out; returns whether the bar is met."""
    dump, rates = scratch / "dump.json", dict[str, Rate]()
    with console.status("writing a dump"), dump.open("wb") as out:
        write_dump(out, options.slice, options.size, options.share)
    size = dump.stat().st_size
    with console.status("parsing every line"):
        loop = rates["json.loads, every line"] = measure(lambda: _parse_all(dump, json.loads), size)
        rates["orjson.loads, every line"] = measure(lambda: _parse_all(dump, orjson.loads), size)
    with console.status("pulling"):
        plain = rates["pull, plain"] = _measured_pull(dump, options.workers, size)
    done = read_pull(scratch / "pull")
    for suffix in _PACKED:
        packed = scratch / f"dump.json{suffix}"
        with console.status(f"packing {packed.name}"):
            unpacked = _pack(dump, packed, options.packed)
        if suffix == ".gz":
            rates["gzip -dc | wc -l"] = measure(functools.partial(_count_lines, packed), unpacked)
        with console.status(f"pulling {packed.name}"):
            rate = _measured_pull(packed, options.workers, unpacked)
        rates[f"pull, {suffix} (1/{unpacked / packed.stat().st_size:.0f} of the size)"] = rate
    console.print(_table(rates))
    console.print(
        f"{done.notes['entities']:,} entities of {size / 1e9:.2f} GB, {done.items:,} belong "
        f"({done.items / done.notes['entities']:.1%}), {done.notes['parsed']:,} were parsed"
    )
    times = plain.megabytes / loop.megabytes
    console.print(f"The pull is {times:.1f} times as fast as json.loads; {BAR:g} is the bar.")
    return times >= BAR


def _table(rates: Mapping[str, Rate]) -> Table:
    table = Table("", "MB/s a core", "MB", "CPU s", "wall s", "peak MB", "full dump, h on 16 cores")
    for name, rate in rates.items():
        hours = FULL_DUMP_BYTES / 1e6 / rate.megabytes / FULL_DUMP_CORES / 3600
        table.add_row(
            name,
            f"{rate.megabytes:,.0f}",
            f"{rate.unpacked / 1e6:,.0f}",
            f"{rate.cpu:.2f}",
            f"{rate.wall:.2f}",
            f"{rate.memory / 1e6:,.0f}" if rate.memory else "",
            f"{hours:.2f}" if name.startswith("pull") else "",
        )
    return table


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMG]i?B)", text)
    if not found or found[2] not in _UNITS:
        raise argparse.ArgumentTypeError(f"{text!r}: not a size such as 1GB or 200MB")
    return int(float(found[1]) * _UNITS[found[2]])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bioelx_index.benchmark.dump",
        description="Measures a pull from a generated dump, beside the plain ways to read one. "
        "Ends with 1 if it is not three times as fast as json.loads.",
    )
    parser.add_argument("--slice", type=Path, required=True, help=".nt or .nt.xz, for real names")
    parser.add_argument("--size", type=_size, default=10**9, help="of the plain dump (1GB)")
    parser.add_argument("--packed", type=_size, default=2 * 10**8, help="of it, packed (200MB)")
    parser.add_argument("--share", type=float, default=0.03, help="of items that belong (0.03)")
    parser.add_argument("--workers", type=int, default=1, help="processes (1)")
    parser.add_argument("--scratch", type=Path, help="folder for the dumps, which are removed")
    options = parser.parse_args()
    console = Console(width=120)
    try:
        with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
            sys.exit(0 if benchmark(options, Path(scratch), console) else 1)
    except BioelxError as error:
        sys.exit(f"dump: {error}")


if __name__ == "__main__":
    main()
