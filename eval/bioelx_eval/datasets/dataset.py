"""What a benchmark is: examples with gold ids, read from files in their published format."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bioelx.errors import FileError
from bioelx.types import Query


@dataclass(frozen=True, slots=True)
class Example:
    """One mention with the concepts that are right for it."""

    id: str
    """Unique in its dataset and the same in every run."""
    language: str
    query: Query
    gold: tuple[str, ...]
    """CURIEs, any of which is right."""
    covered: bool | None = None
    """Whether the dataset's fixed list of covered rows holds it; None where there is no list."""


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
    examples: Mapping[str, int]
    """Examples in the published files by language, in the order in which scores are shown."""
    locate: Callable[[Path], Path]
    """Finds the dataset's folder in a folder of data; raises FileError."""
    read: Callable[[Path, Sequence[str]], Iterator[Example]]
    """Streams the examples of these languages from a folder of data; raises FileError."""


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Streams the lines of a UTF-8 text file, plain or gzipped (`.gz`), numbered from 1.

    A byte order mark and either kind of line end are dropped.

    Raises:
        FileError: the file is missing, cut off (also where its last line has no end), or not
            UTF-8; the error names the line.
    """
    number, line = 0, "\n"
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            for number, raw in enumerate(stream, start=1):
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                if not line.endswith("\n"):
                    break
                yield number, line.removesuffix("\n").removesuffix("\r")
    except FileNotFoundError:
        raise FileError(path, "no such file") from None
    except UnicodeDecodeError as error:
        raise FileError(path, f"not UTF-8 ({error.reason})", line=number) from None
    except (EOFError, OSError, zlib.error) as error:
        raise FileError(path, f"damaged or cut off ({error})", line=number + 1) from None
    if not line.endswith("\n"):
        raise FileError(path, "the last line has no end: the file is cut off", line=number)
