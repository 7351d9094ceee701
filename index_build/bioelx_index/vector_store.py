"""Vectors on disk, found by a text's hash: blocks that are written once and checked when read.

    FOLDER/*.vectors   segments; each belongs to the one process that appends to it

A segment is a row of blocks, and a block is

    magic, count, dimension | digest of the vectors | digest of all else | keys | vectors

with keys of 16 bytes and vectors in fp16. Nothing is ever overwritten and no two processes write to
one file, so nobody needs a lock: what a kill left of a block is passed over, and what one process
has finished another one finds by looking again. A block whose keys do not have their digest hides
the rest of its segment; one whose vectors do not have theirs is left out. Neither is ever taken for
what it is not: the texts are simply not there.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt

KEY_BYTES = 16
KEY = np.dtype(f"S{KEY_BYTES}")
SUFFIX = ".vectors"

Keys = npt.NDArray[np.bytes_]
Places = npt.NDArray[np.int64]

_MAGIC = b"bioelx1\n"
_DIGEST_BYTES = 16
_COUNTS = struct.Struct("<8sII")
_HEAD_BYTES = _COUNTS.size + 2 * _DIGEST_BYTES


def keys_of(texts: Sequence[str]) -> Keys:
    """The keys of texts, bytes [texts]: their BLAKE2b hashes, of which no two are equal by chance.
    In 24 bytes a name with its place, where a dictionary of Python's takes 160."""
    joined = b"".join(_digest(text.encode()) for text in texts)
    return np.frombuffer(joined, KEY)


@dataclass(frozen=True, slots=True)
class _Block:
    segment: Path
    start: int
    """Of its vectors, in bytes."""
    count: int
    dimension: int
    digest: bytes
    """Of its vectors."""

    @property
    def size(self) -> int:
        """Of its vectors, in bytes."""
        return 2 * self.count * self.dimension

    def read(self) -> npt.NDArray[np.float16] | None:
        """Its vectors, fp16 [count, dimension]; or None if they are not what was written."""
        with self.segment.open("rb") as stream:
            stream.seek(self.start)
            content = stream.read(self.size)
        if _digest(content) != self.digest:
            return None
        return np.frombuffer(content, np.float16).reshape(self.count, self.dimension)


class VectorStore:
    """The vectors of one encoder, as one process sees and adds to them."""

    def __init__(self, folder: Path, dimension: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._dimension = folder, dimension
        self._read: dict[Path, int] = {}  # how many bytes of each segment have been read
        self._blocks: list[_Block] = []
        self._firsts = np.empty(0, np.int64)  # of each block, its first row among all
        self._keys, self._rows = np.empty(0, KEY), np.empty(0, np.int64)  # by ascending key
        self._own: IO[bytes] | None = None  # once there is something to add
        self._own_path: Path | None = None
        self.refresh()

    def __enter__(self) -> VectorStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._own:
            self._own.close()

    def refresh(self) -> None:
        """Takes in what other processes have added."""
        new_keys, new_blocks = [], []
        for segment in sorted(self._folder.glob(f"*{SUFFIX}")):
            if segment == self._own_path:
                continue
            for block, keys in _blocks(segment, self._read.get(segment, 0)):
                self._read[segment] = block.start + block.size
                if block.dimension == self._dimension:
                    new_keys.append(keys)
                    new_blocks.append(block)
        if new_blocks:
            self._take_in(new_blocks, np.concatenate(new_keys))

    def fill(self, keys: Keys, vectors: npt.NDArray[np.float32], places: Places) -> Places:
        """Writes those of the vectors that are stored; returns the places of the others.

        Args:
            keys: of all texts, [texts].
            vectors: of all texts, float32 [texts, dimension].
            places: which of them are wanted.
        """
        while True:
            rows = self._find(keys[places])
            stored = np.flatnonzero(rows >= 0)
            order = stored[np.argsort(rows[stored], kind="stable")]
            numbers, starts = np.unique(self._block_of(rows[order]), return_index=True)
            broken = []
            for number, chosen in zip(numbers, np.split(order, starts[1:]), strict=False):
                content = self._blocks[number].read()
                if content is None:
                    broken.append(number)
                else:
                    vectors[places[chosen]] = content[rows[chosen] - self._firsts[number]]
            if not broken:
                return places[rows < 0]
            self._leave_out(broken)  # another block may have the same texts

    def append(self, keys: Keys, vectors: npt.NDArray[np.float16]) -> None:
        """Adds a block: whole, or, if the process is killed meanwhile, not at all."""
        content = vectors.tobytes()
        head = _COUNTS.pack(_MAGIC, len(keys), vectors.shape[1]) + _digest(content)
        known = keys.tobytes()
        if self._own is None:
            descriptor, path = tempfile.mkstemp(SUFFIX, dir=self._folder)
            self._own, self._own_path = os.fdopen(descriptor, "ab"), Path(path)
        self._own.write(head + _digest(head + known) + known + content)
        self._own.flush()

    def _take_in(self, blocks: list[_Block], keys: Keys) -> None:
        first = sum(block.count for block in self._blocks)
        rows = np.arange(first, first + len(keys))
        self._blocks += blocks
        self._firsts = np.cumsum([0, *(block.count for block in self._blocks[:-1])])
        order = np.argsort(keys, kind="stable")
        at = np.searchsorted(self._keys, keys[order])
        self._keys = np.insert(self._keys, at, keys[order])
        self._rows = np.insert(self._rows, at, rows[order])

    def _find(self, keys: Keys) -> Places:
        """The row of each key, or -1."""
        if not len(self._keys):
            return np.full(len(keys), -1, np.int64)
        at = np.searchsorted(self._keys, keys).clip(max=len(self._keys) - 1)
        return np.where(self._keys[at] == keys, self._rows[at], -1)

    def _block_of(self, rows: Places) -> Places:
        return np.searchsorted(self._firsts, rows, "right") - 1

    def _leave_out(self, blocks: list[int]) -> None:
        whole = ~np.isin(self._block_of(self._rows), blocks)
        self._keys, self._rows = self._keys[whole], self._rows[whole]


class StoreSize(NamedTuple):
    """What a store holds."""

    vectors: int
    bytes: int


def store_size(folder: Path) -> StoreSize:
    """How much the vectors of one encoder are; of a text that two processes encoded, both count."""
    segments = [*folder.glob(f"*{SUFFIX}")]
    count = sum(block.count for segment in segments for block, _ in _blocks(segment, 0))
    return StoreSize(count, sum(segment.stat().st_size for segment in segments))


def _blocks(segment: Path, start: int) -> Iterator[tuple[_Block, Keys]]:
    """The whole blocks of a segment from `start` on, each with its keys."""
    with segment.open("rb") as stream:
        end = os.fstat(stream.fileno()).st_size
        while start + _HEAD_BYTES <= end:
            stream.seek(start)
            head = stream.read(_HEAD_BYTES)
            magic, count, dimension = _COUNTS.unpack_from(head)
            vectors_start = start + _HEAD_BYTES + count * KEY_BYTES
            if magic != _MAGIC or vectors_start + 2 * count * dimension > end:
                return
            known = stream.read(count * KEY_BYTES)
            said, digest = head[:-_DIGEST_BYTES], head[-_DIGEST_BYTES:]
            if _digest(said + known) != digest:
                return
            block = _Block(segment, vectors_start, count, dimension, said[_COUNTS.size :])
            yield block, np.frombuffer(known, KEY)
            start = block.start + block.size


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()
