"""A dump in blocks of whole lines, to be scanned one by one, in any process."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import IO, Any

from bioelx.errors import FileError
from bioelx_index.sources.wikidata.dump.bzip2 import START, Place
from bioelx_index.sources.wikidata.dump.stream import PLAIN, Stream, open_stream, skip

_NEAR = 1 << 16  # bytes of a file that are read at once to find the end of a line


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of a dump; only the last line of all may lack its end."""

    offset: int
    """Of the first byte in the unpacked dump."""
    size: int
    slot: int
    """Of the shelf, that it lies in, or is to be read into if the dump is not packed."""
    packed: int
    """How many bytes of the file were used up when it had been read."""
    after: Place
    """From where to unpack for what follows."""

    @property
    def end(self) -> int:
        return self.offset + self.size


class Shelf:
    """Slots of memory for blocks, shared with the processes that scan them.

    It has no name and lies on no file system, so that nothing is left behind by processes that are
    killed, and a container's small /dev/shm is no limit.
    """

    def __init__(self, slots: int, slot_size: int, descriptor: int | None = None) -> None:
        self.slots, self.slot_size = slots, slot_size
        if descriptor is None:
            descriptor = _anonymous_file()
            os.truncate(descriptor, slots * slot_size)
        self._descriptor = descriptor
        self._memory = mmap.mmap(descriptor, slots * slot_size)

    def __reduce__(self) -> tuple[Callable[..., Shelf], tuple[Any, ...]]:
        """For a process that is being started."""
        return _attach, (DupFd(self._descriptor), self.slots, self.slot_size)

    def view(self, slot: int, size: int) -> memoryview:
        """The beginning of a slot."""
        start = slot * self.slot_size
        return memoryview(self._memory)[start : start + size]

    def line_end(self, slot: int, size: int) -> int:
        """How many bytes of the beginning of a slot are whole lines."""
        start = slot * self.slot_size
        return max(0, self._memory.rfind(b"\n", start, start + size) + 1 - start)


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("bioelx-blocks")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _attach(descriptor: Any, slots: int, slot_size: int) -> Shelf:
    return Shelf(slots, slot_size, descriptor.detach())


def read_blocks(
    path: Path, packing: str, shelf: Shelf, *, offset: int, place: Place, threads: int
) -> Generator[Block]:
    """Cuts a dump into blocks, each as large as fits into a slot; they take turns in the slots.

    Args:
        packing: see `packing_of`.
        offset: of the first byte that is wanted in the unpacked dump.
        place: from where to unpack for it.
        threads: that unpack.

    Raises:
        FileError: the file is damaged, cut off in a line, or has a line that fits into no slot;
            after the last block that is whole.
    """
    if packing == PLAIN:
        with path.open("rb") as file:
            yield from _plain_blocks(path, file, shelf, offset)
    else:
        with closing(open_stream(path, packing, place, threads)) as stream:
            skip(stream, offset - place.offset)
            yield from _packed_blocks(path, stream, shelf, offset)


def _packed_blocks(path: Path, stream: Stream, shelf: Shelf, offset: int) -> Generator[Block]:
    number, rest = 0, b""
    while True:
        slot, number = number % shelf.slots, number + 1
        room = shelf.view(slot, shelf.slot_size)
        room[: len(rest)] = rest
        filled = len(rest)
        while filled < len(room) and (count := stream.readinto(room[filled:])):
            filled += count
        size = shelf.line_end(slot, filled)
        if at_end := filled < len(room):
            size = filled if _is_whole(room[size:filled]) else size
        rest = bytes(room[size:filled])
        if size:
            place = stream.place(offset + size)
            yield Block(offset, size, slot, stream.packed(), place)
            offset += size
        if at_end:
            break
        if not size:
            raise _too_long(path, shelf, offset)
    if rest:
        raise _cut_off(path, offset)


def _plain_blocks(path: Path, file: IO[bytes], shelf: Shelf, offset: int) -> Generator[Block]:
    """As of a packed dump; but what is in a block is left to be read by who scans it."""
    total, number = path.stat().st_size, 0
    while offset < total:
        size = min(shelf.slot_size, total - offset)
        at_end = offset + size == total
        if not at_end or not _is_whole(_last_line(file, total)):
            size = _line_end(file, offset, offset + size) - offset
        if size:
            yield Block(offset, size, number % shelf.slots, offset + size, START)
            offset, number = offset + size, number + 1
        if at_end:
            break
        if not size:
            raise _too_long(path, shelf, offset)
    if offset < total:
        raise _cut_off(path, offset)


def _last_line(file: IO[bytes], total: int) -> bytes:
    """The end of the last line, or all of it."""
    start = max(0, total - _NEAR)
    return os.pread(file.fileno(), total - start, start).rpartition(b"\n")[2]


def _line_end(file: IO[bytes], low: int, high: int) -> int:
    """Where between two places of a file the last whole line ends; `low` if none does."""
    while high > low:
        start = max(low, high - _NEAR)
        found = os.pread(file.fileno(), high - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        high = start
    return low


def _is_whole(line: bytes | memoryview) -> bool:
    """Whether a line that has no end may be the last of a dump."""
    return bytes(line).rstrip()[-1:] in (b"", b"}", b"]")


def _too_long(path: Path, shelf: Shelf, offset: int) -> FileError:
    return FileError(
        path,
        f"a line of more than {shelf.slot_size:,} bytes, at byte {offset:,} of the unpacked data: "
        "not a dump with an entity a line",
    )


def _cut_off(path: Path, offset: int) -> FileError:
    return FileError(path, f"is cut off in the line at byte {offset:,} of the unpacked data")
