"""Vectors of names, encoded once: a cache on disk keyed by encoder and normalised text.

A rebuild encodes only what is new. The cache of one encoder is a folder of two files that only
ever grow, `texts.bin` (16-byte hashes) and `vectors.bin` (fp16 rows in the same order); what a kill
left half-written at their ends is cut off at the next opening.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bioelx.encoding import Encoder

_HASH_BYTES = 16
_CHUNK = 4096  # texts between two writes: what a kill can cost


def encode_names(
    texts: Sequence[str],
    encoder: Encoder,
    cache: Path,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[npt.NDArray[np.float32], int]:
    """Returns vectors of distinct normalised texts and how many of them had to be encoded.

    Args:
        cache: folder of all caches; each encoder has its own in it.
        advance: is called with the number of texts done since the last call.

    Returns:
        float32 [texts, dimension], rows of unit norm to fp16 precision.
    """
    with _open_cache(cache / encoder.card.fingerprint, encoder.card.dimension) as stored:
        hashes = [_hash(text) for text in texts]
        new = [row for row, digest in enumerate(hashes) if digest not in stored]
        advance(len(texts) - len(new))
        # Texts of like length together: batches are then nearly free of padding.
        new.sort(key=lambda row: len(texts[row]))
        for start in range(0, len(new), _CHUNK):
            rows = new[start : start + _CHUNK]
            vectors = encoder.encode([texts[row] for row in rows])
            stored.append([hashes[row] for row in rows], vectors)
            advance(len(rows))
        return stored.take(hashes), len(new)


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=_HASH_BYTES).digest()


class _Cache:
    """The open cache of one encoder. One process at a time holds it."""

    def __init__(self, folder: Path, dimension: int) -> None:
        self._row_bytes = 2 * dimension
        self._dimension = dimension
        self._texts = folder / "texts.bin"
        self._vectors = folder / "vectors.bin"
        for path in (self._texts, self._vectors):
            path.touch()
        whole = min(
            self._texts.stat().st_size // _HASH_BYTES,
            self._vectors.stat().st_size // self._row_bytes,
        )
        for path, size in ((self._texts, _HASH_BYTES), (self._vectors, self._row_bytes)):
            with path.open("r+b") as stream:
                stream.truncate(whole * size)
        known = self._texts.read_bytes()
        self._rows = {
            known[at : at + _HASH_BYTES]: at // _HASH_BYTES
            for at in range(0, len(known), _HASH_BYTES)
        }

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._rows

    def append(self, digests: Sequence[bytes], vectors: npt.NDArray[np.float32]) -> None:
        # Vectors first: a hash without its vector would be a lie, the reverse is only cut off.
        with self._vectors.open("ab") as stream:
            stream.write(vectors.astype(np.float16).tobytes())
        with self._texts.open("ab") as stream:
            stream.write(b"".join(digests))
        for digest in digests:
            self._rows[digest] = len(self._rows)

    def take(self, digests: Sequence[bytes]) -> npt.NDArray[np.float32]:
        if not digests:
            return np.empty((0, self._dimension), np.float32)
        shape = (len(self._rows), self._dimension)
        stored = np.memmap(self._vectors, np.float16, "r", shape=shape)
        rows = np.fromiter((self._rows[d] for d in digests), np.int64, len(digests))
        vectors = np.empty((len(rows), self._dimension), np.float32)
        for start in range(0, len(rows), _CHUNK):
            vectors[start : start + _CHUNK] = stored[rows[start : start + _CHUNK]]
        return vectors


@contextmanager
def _open_cache(folder: Path, dimension: int) -> Iterator[_Cache]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second build waits instead of writing between
        yield _Cache(folder, dimension)
