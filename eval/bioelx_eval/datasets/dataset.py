"""What a benchmark is: examples with gold ids, read from files in their published format."""

from __future__ import annotations

import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bioelx.errors import FileError
from bioelx.kb import normalise
from bioelx.types import Query

DAMAGE = (EOFError, OSError, RuntimeError, lzma.LZMAError, zlib.error, zipfile.BadZipFile)
"""What reading a damaged file raises; a zip's entry may seem encrypted or of another method."""


@dataclass(frozen=True, slots=True)
class Example:
    """One mention with the concepts that are right for it."""

    id: str
    """Unique in its dataset and the same in every run."""
    group: str
    """The column of the report in which it counts: a language, a type, a part."""
    query: Query
    gold: tuple[str, ...]
    """CURIEs, any of which is right; none where the mention has no concept (NIL)."""
    parts: tuple[Query, ...] = ()
    """What is linked in place of a composite mention, which is right where every part is."""
    covered: bool | None = None
    """Whether the dataset's fixed list of covered rows holds it; None where there is no list."""

    @property
    def queries(self) -> tuple[Query, ...]:
        """What the linker is asked: the mention, or each of its parts."""
        return self.parts or (self.query,)


@dataclass(frozen=True, slots=True)
class Skipped:
    """One mention that cannot be scored: it is counted and reported by its reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """One benchmark: what it is, where to get it, how to read it."""

    name: str
    title: str
    origin: str
    """Where it comes from: a page, not a file."""
    licence: str
    scheme: str
    """The prefix of its gold ids."""
    groups: Mapping[str, int | None]
    """Examples in the published files by group (None: not known), in the order of the report."""
    locate: Callable[[Path], Path]
    """Finds the dataset's file or folder in a folder of data; raises FileError."""
    read: Callable[[Path, Sequence[str]], Iterator[Example | Skipped]]
    """Streams the examples of these groups from what `locate` found; raises FileError."""


def encloses(text: str, start: int, end: int, mention: str) -> bool:
    """Whether the offsets are those of the mention in the text, and it is more than nothing."""
    fits = start >= 0 and end - start == len(mention) and text[start:end] == mention
    return fits and bool(normalise(mention))


def find_file(*paths: Path) -> Path | None:
    """The first of these files that is there, plain or with `.gz` after its name.

    Raises:
        FileError: it is there both plain and packed.
    """
    for path in paths:
        packed = path.with_name(f"{path.name}.gz")
        found = [each for each in (path, packed) if each.is_file()]
        if len(found) > 1:
            raise FileError(path, "stands here twice, plain and as .gz")
        if found:
            return found[0]
    return None


def read_lines(
    path: Path | zipfile.Path, *, open_end: bool = False, may_be_empty: bool = False
) -> Iterator[tuple[int, str]]:
    """Streams the lines of a UTF-8 text file, plain or gzipped (`.gz`), numbered from 1.

    A byte order mark and either kind of line end are dropped.

    Args:
        open_end: the last line needs no end, for formats that show for themselves where one is cut.

    Raises:
        FileError: the file is missing, empty, cut off (also where its last line has no end), or
            not UTF-8; the error names the line.
    """
    number, line = 0, "\n"
    try:
        with path.open("rb") as file, _unpacked(file, path.name) as stream:
            for number, raw in enumerate(stream, start=1):
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                if not (open_end or line.endswith("\n")):
                    break
                yield number, line.removesuffix("\n").removesuffix("\r")
    except FileNotFoundError:
        raise FileError(str(path), "no such file") from None
    except UnicodeDecodeError as error:
        raise FileError(str(path), f"not UTF-8 ({error.reason})", line=number) from None
    except DAMAGE as error:
        raise FileError(str(path), f"damaged or cut off ({error})", line=number + 1) from None
    if not (number or may_be_empty):
        raise FileError(str(path), "is empty", line=1)
    if not (open_end or line.endswith("\n")):
        raise FileError(str(path), "the last line has no end: the file is cut off", line=number)


def _unpacked(file: IO[bytes], name: str) -> IO[bytes] | gzip.GzipFile:
    return gzip.open(file) if name.endswith(".gz") else file


def read_text(path: Path | zipfile.Path) -> str:
    """The whole of a small UTF-8 text file, its line ends as they are; drops a byte order mark.

    Raises:
        FileError: the file is missing, damaged, cut off in its last line, or not UTF-8.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise FileError(str(path), "no such file") from None
    except UnicodeDecodeError as error:
        raise FileError(str(path), f"not UTF-8 ({error.reason})") from None
    except DAMAGE as error:
        raise FileError(str(path), f"damaged or cut off ({error})") from None
    if not text.endswith("\n"):
        raise FileError(str(path), "the last line has no end: the file is cut off")
    return text
