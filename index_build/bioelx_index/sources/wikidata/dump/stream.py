"""The bytes of a dump, however it is packed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import zstandard

from bioelx.errors import FileError
from bioelx_index.sources.wikidata.dump.bzip2 import START, Bzip2, Place

PLAIN = ""
_MAGIC = {
    "bz2": re.compile(rb"BZh[1-9]"),
    "gz": re.compile(rb"\x1f\x8b"),
    "zst": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
    PLAIN: re.compile(rb"\s*(\[|\{)"),
}
_READ = 1 << 20
_LARGEST_WINDOW = 1 << 31  # of zstd --long=31, its utmost


class Stream(Protocol):
    """Unpacked bytes from some place on."""

    def readinto(self, buffer: memoryview) -> int:
        """Fills the beginning of a buffer; returns with how many bytes, 0 at the end.

        Raises:
            FileError: the file is cut or damaged.
        """

    def packed(self) -> int:
        """How many bytes of the file are used up, about."""

    def place(self, offset: int) -> Place:
        """From where to go on for the unpacked bytes from an offset on."""

    def close(self) -> None:
        """Stops all that reads ahead."""


def packing_of(path: Path) -> str:
    """What a file is packed with, by its first bytes: `bz2`, `gz`, `zst` or `PLAIN` (JSON).

    Raises:
        FileError: no such file, or none of these.
    """
    try:
        with path.open("rb") as file:
            first = file.read(64)
    except OSError as error:
        raise FileError(path, error.strerror or str(error)) from None
    for packing, magic in _MAGIC.items():
        if magic.match(first):
            return packing
    raise FileError(path, "not a dump: neither JSON nor packed with bzip2, gzip or zstd")


def open_stream(path: Path, packing: str, place: Place, threads: int) -> Stream:
    """Opens a packed dump at a place that an earlier stream named."""
    if packing == "bz2":
        return Bzip2(path, threads, place)
    return Gzip(path, threads) if packing == "gz" else Zstd(path)


class Gzip:
    """A .gz file, unpacked by rapidgzip in threads.

    In a process of its own: inside this one it would keep an index of all that it has read, more
    than a gigabyte in the end, that it cannot be told to do without.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self._path = path
        self._file = path.open("rb")
        program = "import sys, rapidgzip; sys.exit(rapidgzip.cli())"
        # It reads from our own open file, so that we see how far it is.
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, "-d", "-c", "-P", str(threads)],
            stdin=self._file,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._out, self._err = self._process.stdout, self._process.stderr

    def readinto(self, buffer: memoryview) -> int:
        count = os.readv(self._out.fileno(), [buffer])
        if not count and self._process.wait():
            said = self._err.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise FileError(self._path, f"the .gz file is damaged ({said})")
        return count

    def packed(self) -> int:
        return self._file.tell()

    def place(self, offset: int) -> Place:
        return START

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for each in (self._out, self._err, self._file):
            each.close()


class Zstd:
    """A .zst file, of one frame or several."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        unpacker = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
        self._reader = unpacker.stream_reader(self._file, read_size=_READ, read_across_frames=True)

    def readinto(self, buffer: memoryview) -> int:
        try:
            return self._reader.readinto(buffer)
        except zstandard.ZstdError as error:
            raise FileError(self._path, f"the .zst file is damaged ({error})") from None

    def packed(self) -> int:
        return self._file.tell()

    def place(self, offset: int) -> Place:
        return START

    def close(self) -> None:
        self._file.close()


def skip(stream: Stream, count: int) -> None:
    """Reads so many bytes for nothing, or all there are."""
    scratch = memoryview(bytearray(_READ))
    while count and (read := stream.readinto(scratch[: min(count, _READ)])):
        count -= read
