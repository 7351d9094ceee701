"""The blocks of a dump, scanned by several processes and handed back in their order."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pyarrow as pa

from bioelx.errors import BioelxError, FileError
from bioelx_index.sources.wikidata.dump.blocks import Block, Shelf
from bioelx_index.sources.wikidata.dump.scan import Scan, Scanner, Search
from bioelx_index.sources.wikidata.dump.stream import PLAIN

_BLOCKS_EACH = 2  # one that is scanned, and one that waits

Scans = Iterator[tuple[Block, Scan]]


@dataclass(frozen=True, slots=True)
class Job:
    """What a process needs to scan blocks."""

    dump: Path
    packing: str
    search: Search
    shelf: Shelf


def slots_for(workers: int) -> int:
    """How many blocks are in memory at once."""
    return workers * _BLOCKS_EACH if workers > 1 else 1


@contextmanager
def crew(job: Job, workers: int) -> Iterator[Callable[[Iterator[Block]], Scans]]:
    """Starts processes, and yields what scans blocks with them; one worker is this process itself.

    What it yields raises whatever its blocks raise, after all scans before, and BioelxError if a
    process dies.
    """
    if workers == 1:
        scan = _scanner(job)
        yield lambda blocks: ((block, scan(block)) for block in blocks)
        return
    resource_tracker.ensure_running()  # else the first start would, and unblock Ctrl-C
    started = [_start(job) for _ in range(workers)]
    try:
        yield lambda blocks: _in_turn(blocks, [connection for _, connection in started])
    finally:
        for process, connection in started:
            connection.close()
            process.kill()
        for process, _ in started:
            process.join()


def _start(job: Job) -> tuple[SpawnProcess, Connection]:
    # Threads are running here, and a forked process would inherit the locks that they hold.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, job), daemon=True)
    # Ctrl-C is for this process, which will end the others; it is blocked for them from the first.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    theirs.close()  # so that the process sees it when this one is gone
    return process, ours


def _in_turn(blocks: Iterator[Block], connections: list[Connection]) -> Scans:
    under_way: deque[tuple[Block, Connection]] = deque()
    turns = cycle(connections)
    failure = None
    while failure is None:
        try:
            block = next(blocks, None)
        except FileError as error:
            failure, block = error, None
        if block is None:
            break
        connection = next(turns)
        with _alive():
            connection.send(block)
        under_way.append((block, connection))
        if len(under_way) == len(connections) * _BLOCKS_EACH:
            yield _received(*under_way.popleft())
    while under_way:
        yield _received(*under_way.popleft())
    if failure:
        raise failure


def _received(block: Block, connection: Connection) -> tuple[Block, Scan]:
    with _alive():
        return block, connection.recv()


@contextmanager
def _alive() -> Iterator[None]:
    """For talk with a process that is alive."""
    try:
        yield
    except (EOFError, ConnectionError):
        raise BioelxError(
            "a process that scans the dump has died (out of memory?); start again to go on, with "
            "fewer workers if need be"
        ) from None


def _work(connection: Connection, job: Job) -> None:
    """What a process does until the one that started it is gone."""
    pa.set_cpu_count(1)
    scan = _scanner(job)
    try:
        while True:
            connection.send(scan(connection.recv()))
    except (EOFError, ConnectionError):
        return


def _scanner(job: Job) -> Callable[[Block], Scan]:
    scan = Scanner(job.search)

    def scan_block(block: Block) -> Scan:
        view = job.shelf.view(block.slot, block.size)
        if job.packing == PLAIN:
            with job.dump.open("rb", buffering=0) as file:
                file.seek(block.offset)
                view = view[: file.readinto(view)]
        return scan(view)

    return scan_block
