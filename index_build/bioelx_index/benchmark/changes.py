"""What a pull of changes costs beside a whole one, and whether both come to the same.

    python -m bioelx_index.benchmark.changes --slice data/wikidata/slice.nt.xz \\
        --items 100000 --out FOLDER

An enlarged slice (see `enlarge.py`) is served by oxigraph and pulled; then, of every thousand
items, some are edited, merged, deleted and stripped of what made them belong, and new ones come.
The changes are pulled, and so is the whole anew; the active records of both are compared.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from bioelx.errors import BioelxError
from bioelx.release.manifest import utc_now
from bioelx.types import Status
from bioelx_index.benchmark.enlarge import as_ntriples, items
from bioelx_index.endpoint import local_endpoint
from bioelx_index.sources.wikidata.endpoint import PREFIXES
from bioelx_index.sources.wikidata.folder import (
    RECORDS_FILE,
    Pull,
    read_pull,
    read_tables,
)

EDITED, MERGED, DELETED, LEFT, NEW = 10, 2, 2, 2, 4
"""Of every thousand items."""
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Cost:
    """What a pull took."""

    pull: Pull
    seconds: float
    megabytes: float
    """Of memory, at most."""

    def row(self, title: str) -> str:
        notes = self.pull.notes
        return (
            f"| {title} | {self.pull.items:,} | {self.pull.retired:,} | {self.seconds:,.0f} "
            f"| {notes['requests']:,} | {notes['bytes'] / 1e6:,.0f} | {self.megabytes:,.0f} |"
        )


def measure(slice_: Path, count: int, out: Path) -> None:
    """Measures and prints a table; everything stays in `out`.

    Raises:
        BioelxError: a pull fails, or the pulls differ.
    """
    out.mkdir(parents=True)
    new = count * NEW // 1000
    made = items(slice_, count + new)
    base = out / "items.nt"
    qids = []
    with base.open("w", encoding="utf-8", newline="\n") as stream:
        for item in islice(made, count):
            stream.writelines(f"{line}\n" for line in as_ntriples(item))
            qids.append(item.qid)
    with local_endpoint(base, writable=True) as url:
        first = _pull(out / "first", url)
        _change(url, qids)
        added = "\n".join(line for item in made for line in as_ntriples(item))
        send_update(url, f"INSERT DATA {{ {added} }}")
        changes = _pull(out / "changes", url, "--base", str(out / "first"))
        whole = _pull(out / "whole", url)
    print("| pull | items | retired | s | requests | MB of JSON | MB of memory |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    for title, cost in {"whole": first, "changes": changes, "whole anew": whole}.items():
        print(cost.row(title))
    print(changes.pull.notes["changes"])
    if not _active(out / "changes").equals(_active(out / "whole")):
        raise BioelxError(f"{out}: the active records of changes and whole differ")
    print("The active records of both are equal.")


def _change(url: str, qids: Sequence[str]) -> None:
    """Edits, merges, deletes and strips items, spread over all of them."""
    step = 1000 // (EDITED + MERGED + DELETED + LEFT)
    chosen = qids[::step]
    edited = [q for place, q in enumerate(chosen) if place % 16 < EDITED]
    others = [q for place, q in enumerate(chosen) if place % 16 >= EDITED]
    merged, deleted, left = (others[place::3] for place in range(3))
    now = f'"{utc_now():%Y-%m-%dT%H:%M:%SZ}"^^<http://www.w3.org/2001/XMLSchema#dateTime>'
    dated = f"""DELETE {{ ?item schema:dateModified ?date }}
        INSERT {{ ?item schema:dateModified {now} %s }}
        WHERE {{ %s ?item schema:dateModified ?date }}"""
    for values in values_of(edited):
        send_update(url, dated % ('; skos:altLabel "edited"@en', values))
    gone = "DELETE { ?item ?p ?o . ?page ?q ?r } WHERE { %s { ?item ?p ?o } UNION %s }"
    pages = "{ %s ?page schema:about ?item ; ?q ?r }"
    for values in values_of([*merged, *deleted]):
        send_update(url, gone % (values, pages % values))
    targets = edited[: len(merged)]
    same = "\n".join(f"wd:{q} owl:sameAs wd:{to} ." for q, to in zip(merged, targets, strict=True))
    send_update(url, f"INSERT DATA {{ {same} }}")
    stripped = """DELETE {{ ?item ?p ?id }} WHERE {{ {} ?item ?p ?id .
        FILTER(isLiteral(?id) && STRSTARTS(STR(?p), STR(wdt:))) }}"""
    for values in values_of(left):
        send_update(url, dated % ("", values))
        send_update(url, stripped.format(values))


def values_of(qids: Sequence[str]) -> Iterator[str]:
    """Items as VALUES of ?item, some hundred at a time."""
    for start in range(0, len(qids), _AT_ONCE):
        yield f"VALUES ?item {{ {' '.join(f'wd:{q}' for q in qids[start : start + _AT_ONCE])} }}"


def send_update(url: str, update: str) -> None:
    """Changes what a server of one's own (`local_endpoint`) holds, in Wikidata's prefixes.

    Args:
        url: of its endpoint for queries.
    """
    body = (PREFIXES + update).encode()
    kind = {"Content-Type": "application/sparql-update"}
    request = urllib.request.Request(url.replace("/query", "/update"), body, kind)  # noqa: S310
    with urllib.request.urlopen(request, timeout=600):  # noqa: S310  (our own loopback server)
        pass


def _pull(folder: Path, url: str, *options: str) -> Cost:
    command = [sys.executable, "-m", "bioelx", "pull", "wikidata", "--endpoint", url]
    began = time.perf_counter()
    child = subprocess.Popen([*command, "--out", str(folder), *options])
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise BioelxError(f"{folder}: the pull failed")
    return Cost(read_pull(folder), time.perf_counter() - began, used.ru_maxrss / 1024)


def _active(folder: Path) -> pa.Table:
    table = pa.concat_tables(read_tables(folder / RECORDS_FILE))
    return table.filter(pc.equal(table["status"], Status.ACTIVE.value)).combine_chunks()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bioelx_index.benchmark.changes",
        description="Compares a pull of changes with a whole pull, in cost and in result.",
    )
    parser.add_argument("--slice", type=Path, required=True, help=".nt or .nt.xz")
    parser.add_argument("--items", type=int, required=True, help="how many, all in all")
    parser.add_argument("--out", type=Path, required=True, help="a new folder for all that is made")
    options = parser.parse_args()
    try:
        measure(options.slice, options.items, options.out)
    except BioelxError as error:
        sys.exit(f"changes: {error}")


if __name__ == "__main__":
    main()
