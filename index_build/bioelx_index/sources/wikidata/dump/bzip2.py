"""bzip2 unpacked in parallel, from any of its blocks on.

A bzip2 stream is a row of blocks of up to 900 kB, each packed for itself; it begins at any bit with
a number of 48 bits. So blocks can be found without unpacking, and each unpacked as a stream of its
own, in threads. (rapidgzip reads bzip2 in parallel too, but only from the beginning of a file, and
remembers every block that it passed.)

The format: https://github.com/dsnet/compress/blob/master/doc/bzip2-format.pdf
"""

from __future__ import annotations

import bz2
import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple

from bioelx.errors import FileError

_BLOCK, _END = 0x314159265359, 0x177245385090
_LONGEST = 2 << 20  # bytes that a packed block takes, and more
_PIECE = 1 << 20
_NOWHERE = -1


class Place(NamedTuple):
    """A block: the bit of the file where it begins, and how much is unpacked before it."""

    bit: int = 0
    offset: int = 0


START = Place()


class _Packed(NamedTuple):
    """Bits from `start` on to `end`, in bytes that begin with the byte of `start`; of a block
    without an end, `_NOWHERE` and nothing."""

    start: int
    end: int
    content: bytes


class Bzip2:
    """The unpacked bytes of a .bz2 file, one stream or several."""

    def __init__(self, path: Path, threads: int, place: Place = START) -> None:
        self._path = path
        self._file = path.open("rb")
        self._blocks = _blocks(self._file, place.bit)
        self._pool = ThreadPoolExecutor(threads)
        self._most_ahead = 2 * threads
        self._ahead: deque[tuple[_Packed, Future[bytes]]] = deque()
        self._starts = deque([place])
        self._unpacked = place.offset
        self._block = memoryview(b"")

    def readinto(self, buffer: memoryview) -> int:
        """Fills the beginning of a buffer; returns with how many bytes, 0 at the end.

        Raises:
            FileError: the file is cut or damaged.
        """
        while not self._block:
            self._look_ahead()
            if not self._ahead:
                return 0
            packed, unpacked = self._ahead.popleft()
            if packed.end == _NOWHERE:
                raise FileError(self._path, "is cut off: its last .bz2 stream has no end")
            self._starts.append(Place(packed.start, self._unpacked))
            self._block = memoryview(self._result(packed, unpacked))
            self._unpacked += len(self._block)
        count = min(len(buffer), len(self._block))
        buffer[:count] = self._block[:count]
        self._block = self._block[count:]
        return count

    def packed(self) -> int:
        """How many bytes of the file are used up."""
        return (self._ahead[0][0].start if self._ahead else self._starts[-1].bit) // 8

    def place(self, offset: int) -> Place:
        """The block to go on from for the bytes from an offset on: never one before the offset of
        an earlier call."""
        while len(self._starts) > 1 and self._starts[1].offset <= offset:
            self._starts.popleft()
        return self._starts[0]

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._file.close()

    def _look_ahead(self) -> None:
        while len(self._ahead) < self._most_ahead and (packed := next(self._blocks, None)):
            self._ahead.append((packed, self._pool.submit(_unpack, packed)))

    def _result(self, packed: _Packed, unpacked: Future[bytes]) -> bytes:
        try:
            return unpacked.result()
        except OSError:
            pass
        # The number with which a block begins comes in the middle of one by chance, too: once in
        # some hundred dumps.
        if self._ahead:
            following, _ = self._ahead.popleft()
            shift = following.start // 8 - packed.start // 8
            content = packed.content[:shift] + following.content
            try:
                return _unpack(_Packed(packed.start, following.end, content))
            except OSError:
                pass
        raise FileError(self._path, f"the .bz2 file is damaged at byte {packed.start // 8:,}")


def _inner_bytes(number: int, shift: int) -> bytes:
    """The five bytes that a 48-bit number which begins at bit `shift` of a byte takes whole, after
    that byte."""
    return (number << (8 - shift)).to_bytes(7)[1:6]


_SIGNS = {
    _inner_bytes(number, shift): (number, shift) for number in (_BLOCK, _END) for shift in range(8)
}
_SIGN = re.compile(b"|".join(map(re.escape, _SIGNS)))


def _blocks(file: IO[bytes], bit: int) -> Iterator[_Packed]:
    """The blocks from the one at a bit on; 0 is the first."""
    base = bit // 8  # the byte of the file with which `content` begins
    file.seek(base)
    content, searched = b"", 1
    start = None
    while True:
        piece = file.read(_PIECE)
        content += piece
        for number, at in _signs(content, searched, base):
            if start is not None:
                first, last = start // 8 - base, -(-at // 8) - base
                yield _Packed(start, at, content[first:last])
            start = at if number == _BLOCK else None
        if not piece:
            break
        searched = max(1, len(content) - 5)
        keep = min(searched - 1, len(content) if start is None else start // 8 - base)
        if len(content) - keep > _LONGEST:
            break
        content, base, searched = content[keep:], base + keep, searched - keep
    if start is not None:
        yield _Packed(start, _NOWHERE, b"")


def _signs(content: bytes, searched: int, base: int) -> Iterator[tuple[int, int]]:
    """The numbers with which blocks begin and streams end, each with its bit in the file."""
    for match in _SIGN.finditer(content, searched, max(searched, len(content) - 1)):
        number, shift = _SIGNS[match[0]]
        around = int.from_bytes(content[match.start() - 1 : match.end() + 1])
        if around >> (8 - shift) & (1 << 48) - 1 == number:
            yield number, 8 * (base + match.start() - 1) + shift


def _unpack(packed: _Packed) -> bytes:
    """Unpacks a block: as a stream of one block, whose checksum is that of the block.

    Raises:
        OSError: no such block.
    """
    size = packed.end - packed.start
    block = int.from_bytes(packed.content) >> -packed.end % 8 & (1 << size) - 1
    checksum = block >> (size - 80) & (1 << 32) - 1
    stream = (int.from_bytes(b"BZh9") << size | block) << 80 | _END << 32 | checksum
    padding = -size % 8
    try:
        return bz2.decompress((stream << padding).to_bytes((32 + size + 80 + padding) // 8))
    except ValueError as error:  # it ends too soon
        raise OSError(str(error)) from None
