"""A pull from a dump: one pass over it, and one more before if whole trees of classes are wanted.

The dump is cut into blocks of whole lines; processes find the items in them, and what they find is
put together in the order of the dump. Every few gigabytes the items are written as a part, with a
note from where to go on. So memory holds some blocks and one part, whatever the size of the dump,
and the same parts come out whatever the number of processes.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bioelx.errors import FileError
from bioelx_index.progress import Stages
from bioelx_index.sources.wikidata.classes import types_of_classes
from bioelx_index.sources.wikidata.dump.blocks import Block, Shelf, read_blocks
from bioelx_index.sources.wikidata.dump.bzip2 import START, Place
from bioelx_index.sources.wikidata.dump.crew import Job, crew, slots_for
from bioelx_index.sources.wikidata.dump.scan import Malformed, Scan, Search
from bioelx_index.sources.wikidata.dump.stream import packing_of
from bioelx_index.sources.wikidata.folder import Pull, PullFolder, open_pull, read_pull
from bioelx_index.sources.wikidata.selection import Selection

ROUTE = "dump"
MALFORMED_SHARE = 1e-4
_MALFORMED_AT_LEAST = 10  # that any dump may have
_SHOWN = 20  # malformed lines that are told of one by one
_MIB = 1 << 20
_SAMPLE = 64 << 10

_DATED = re.compile(r"(?<!\d)20\d{6}(?!\d)")
_LONGEST_DUMPING = timedelta(days=7)
_WIKIDATA_BEGAN = datetime(2012, 10, 29, tzinfo=UTC)

Edges = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sizes:
    """What memory holds, and what a kill can cost; the records do not depend on it."""

    block: int = 16 * _MIB
    """Bytes of lines that are scanned at once; no line may be longer."""
    part: int = 4 << 30
    """Bytes of lines after which the items so far become a part, at most."""
    items: int = 50_000
    """Items of a part, but for those of its last block."""


def pull_dump(
    dump: Path,
    folder: Path,
    selection: Selection,
    *,
    workers: int,
    stages: Stages,
    dumped: datetime | None = None,
    malformed_share: float = MALFORMED_SHARE,
    sizes: Sizes = Sizes(),
) -> Pull:
    """Pulls the items that belong into a folder, or goes on where a killed process stopped.

    Args:
        dump: an array of Wikibase's entities, each on a line of its own, or the lines alone; packed
            with bzip2, gzip or zstd, or not.
        workers: processes that scan, and threads that unpack; 1 does it all in this process.
        dumped: when the making of the dump began. By default the date in its name, else a week
            before the last change that it has.
        malformed_share: of the lines; more stop the job.

    Raises:
        FileError: the dump is missing, cut off, damaged, has too many malformed lines, or is not
            the one that the pull began with. What was read is kept.
        SourceError: the folder is another pull's, or in use.
    """
    source = _Source(dump, packing_of(dump))
    recipe: dict[str, Any] = {
        "route": ROUTE,
        "origin": f"{dump.name}, sha256 of its first {_SAMPLE >> 10} KiB {source.sample(_SAMPLE)}",
        "selection": asdict(selection),
    }
    with open_pull(folder, recipe) as unfinished:
        if unfinished is None:
            return read_pull(folder)
        reader = _Reader(source, unfinished, stages, workers, malformed_share, sizes)
        classes = frozenset[int]()
        if selection.trees:
            reader.read("classes", Search(None, edges=True))
            classes = _below(reader.edges("classes"), selection.trees)
        search = Search(selection, classes, edges=not selection.trees)
        done = reader.read("items", search)
        edges = reader.edges("classes" if selection.trees else "items")
        with stages.stage("classes") as stage:
            known = unfinished.classes()
            types = types_of_classes(known, _superclasses(edges))
            stage.result = f"{len(types):,} of {len(known):,} classes have a type"
        with stages.stage("records") as stage:
            finished = unfinished.finish(
                types, started=dumped or _dumped(dump, done), notes=done.notes(), **recipe
            )
            stage.result = f"{finished.items:,} items, {finished.names:,} names"
        return finished


@dataclass(frozen=True, slots=True)
class _Source:
    """A dump file."""

    path: Path
    packing: str

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def sample(self, end: int) -> str:
        """A digest of the bytes before some byte. One of the whole would take as long as the pull;
        two dumps differ in any such piece."""
        with self.path.open("rb") as file:
            file.seek(max(0, end - _SAMPLE))
            return hashlib.sha256(file.read(min(end, _SAMPLE))).hexdigest()


@dataclass(slots=True)
class _Progress:
    """How far a dump was read, and what was counted there."""

    offset: int = 0
    """Of what comes next in the unpacked data."""
    place: tuple[int, ...] = tuple(START)
    packed: int = 0
    """Bytes of the file."""
    sample: str = ""
    """Of the file up to there."""
    parts: int = 0
    lines: int = 0
    entities: int = 0
    parsed: int = 0
    items: int = 0
    malformed: int = 0
    shown: list[dict[str, Any]] = field(default_factory=list)
    """The first malformed lines: line (from 1), byte (from 0), problem."""
    is_array: bool = False
    closing: dict[str, Any] | None = None
    """The bracket that ends the array, if nothing came after it so far."""
    newest: str | None = None
    finished: bool = False

    def take(self, block: Block, scan: Scan) -> list[dict[str, Any]]:
        """Counts what was found in the next block; returns the malformed lines."""
        malformed = [self._located(block, each) for each in scan.malformed]
        if scan.opening and block.offset == 0:
            self.is_array = True
        elif scan.opening:
            malformed.insert(0, self._located(block, Malformed(0, 0, "an array begins here")))
        if self.closing and scan.entities + scan.opening:
            malformed.insert(0, self.closing)
            self.closing = None
        if scan.closing:
            self.closing = self._located(block, scan.closing)
        self.offset, self.packed = block.end, block.packed
        self.place = tuple(block.after)
        self.lines += scan.lines
        self.entities += scan.entities
        self.parsed += scan.parsed
        self.items += len(scan.items)
        self.malformed += len(malformed)
        self.shown += malformed[: _SHOWN - len(self.shown)]
        if scan.newest:
            self.newest = max(self.newest or "", scan.newest.isoformat())
        return malformed

    def _located(self, block: Block, line: Malformed) -> dict[str, Any]:
        return {
            "line": self.lines + line.line + 1,
            "byte": block.offset + line.offset,
            "problem": line.problem,
        }

    def notes(self) -> dict[str, Any]:
        """What `pull.json` says of it."""
        return {
            "bytes": self.packed,
            "unpacked": self.offset,
            "lines": self.lines,
            "entities": self.entities,
            "parsed": self.parsed,
            "malformed": self.malformed,
            "malformed_lines": self.shown,
        }


@dataclass(slots=True)
class _Part:
    """What was found since the last part was written."""

    items: list[pa.Table] = field(default_factory=list)
    edges: list[Edges] = field(default_factory=list)
    read: int = 0
    found: int = 0

    def add(self, block: Block, scan: Scan) -> None:
        self.items.append(scan.items)
        self.edges.append(scan.edges)
        self.read += block.size
        self.found += len(scan.items)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads a dump into the folder of a pull."""

    source: _Source
    folder: PullFolder
    stages: Stages
    workers: int
    malformed_share: float
    sizes: Sizes

    def read(self, name: str, search: Search) -> _Progress:
        """Reads the dump to its end, or the rest of it; returns what was counted in all.

        Args:
            name: of this pass over the dump.

        Raises:
            FileError: as `pull_dump`.
        """
        source, progress = self.source, self._progress(name)
        if progress.finished:
            return progress
        shelf = Shelf(slots_for(self.workers), self.sizes.block)
        job = Job(source.path, source.packing, search, shelf)
        blocks = read_blocks(
            source.path,
            source.packing,
            shelf,
            offset=progress.offset,
            place=Place(*progress.place),
            threads=self.workers,
        )
        shown = progress.packed // _MIB
        part = _Part()
        with (
            self.stages.stage(f"{name}, MiB", total=source.size // _MIB, done=shown) as stage,
            closing(blocks),
            crew(job, self.workers) as scan,
        ):
            try:
                for block, found in scan(blocks):
                    part.add(block, found)
                    self._tell(progress, progress.take(block, found))
                    self._check(progress)
                    if part.read >= self.sizes.part or part.found >= self.sizes.items:
                        self._save(name, part, progress)
                        part = _Part()
                    stage.advance(progress.packed // _MIB - shown)
                    shown = progress.packed // _MIB
                self._check_end(progress)
            except FileError:
                self._save(name, part, progress)
                raise
            progress.finished = True
            self._save(name, part, progress)
            stage.result = (
                f"{progress.entities:,} entities, {progress.items:,} belong, "
                f"{progress.malformed:,} malformed lines"
            )
        return progress

    def edges(self, name: str) -> Edges:
        """Which items are subclasses of which, [n, 2], as a finished pass found them: some 80 MB
        for all of Wikidata."""
        parts = range(self._progress(name).parts)
        noted = (self.folder.recall_numbers(_edges_name(name, part)) for part in parts)
        return np.concatenate([np.empty((0, 2), np.int64), *(e for e in noted if e is not None)])

    def _progress(self, name: str) -> _Progress:
        """How far the pass is.

        Raises:
            FileError: the dump is not the one that it began with.
        """
        source, noted = self.source, self.folder.recall(f"read-{name}")
        if noted is None:
            return _Progress()
        progress = _Progress(**noted)
        # More may have come to the file, if its download had been cut off; no more than that.
        if progress.sample != source.sample(progress.packed):
            raise FileError(
                source.path, "has changed since this pull began: name another folder for it"
            )
        if progress.offset and not progress.finished:
            self.stages.console.print(
                f"  goes on with {source.path.name} at {progress.packed:,} of {source.size:,} bytes"
            )
        return progress

    def _save(self, name: str, part: _Part, progress: _Progress) -> None:
        if part.items:
            items = pa.concat_tables(part.items)
            if len(items):
                self.folder.add_tables(f"{name}-{progress.parts:05}", [items.sort_by("qid")])
            edges = np.concatenate(part.edges)
            self.folder.note_numbers(_edges_name(name, progress.parts), edges)
            progress.parts += 1
        progress.sample = self.source.sample(progress.packed)
        self.folder.note(f"read-{name}", asdict(progress))

    def _tell(self, progress: _Progress, malformed: list[dict[str, Any]]) -> None:
        """Shows the first malformed lines of all."""
        untold = _SHOWN - (progress.malformed - len(malformed))
        for each in malformed[: max(0, untold)]:
            self.stages.console.print(
                f"  {self.source.path.name}:{each['line']}: {each['problem']} "
                f"(the line is at byte {each['byte']:,} of the unpacked data)",
                markup=False,
                highlight=False,
            )

    def _check(self, progress: _Progress) -> None:
        allowed = max(_MALFORMED_AT_LEAST, int(self.malformed_share * progress.entities))
        if progress.malformed > allowed:
            raise FileError(
                self.source.path,
                f"{progress.malformed:,} of the first {progress.entities:,} lines are malformed; "
                f"only {allowed:,} may be ({self.malformed_share:g} of them). The first: "
                f"{progress.shown[0]['problem']}",
                line=progress.shown[0]["line"],
            )

    def _check_end(self, progress: _Progress) -> None:
        if not progress.entities:
            raise FileError(self.source.path, "not a dump: there is no entity in it")
        if progress.is_array and not progress.closing:
            raise FileError(
                self.source.path,
                f"is cut off: the array ends without a bracket, after {progress.entities:,} "
                "entities. Download the rest (wget --continue) and start again to go on",
            )


def _edges_name(name: str, part: int) -> str:
    return f"edges-{name}-{part:05}"


def _below(edges: Edges, trees: Iterable[str]) -> frozenset[int]:
    """The classes at the roots of trees, and all below them."""
    found = level = np.array([int(tree[1:]) for tree in trees], np.int64)
    while len(level):
        below = edges[np.isin(edges[:, 1], level), 0]
        level = np.setdiff1d(below, found)
        found = np.concatenate([found, level])
    return frozenset(found.tolist())


def _superclasses(edges: Edges) -> Callable[[Collection[int]], dict[int, list[int]]]:
    """What `types_of_classes` asks."""

    def above(qids: Collection[int]) -> dict[int, list[int]]:
        found: defaultdict[int, list[int]] = defaultdict(list)
        asked = np.isin(edges[:, 0], np.fromiter(qids, np.int64))
        for qid, superclass in np.unique(edges[asked], axis=0).tolist():
            found[qid].append(superclass)
        return found

    return above


def _dumped(dump: Path, done: _Progress) -> datetime:
    """When the making of a dump began, or some time before that."""
    if found := _DATED.search(dump.name):
        try:
            return datetime.strptime(found[0], "%Y%m%d").replace(tzinfo=UTC)
        except ValueError:
            pass  # a number that is no date
    if done.newest:
        return datetime.fromisoformat(done.newest) - _LONGEST_DUMPING
    return _WIKIDATA_BEGAN  # nothing is known: everything may have changed since
