"""The bytes and lines of a source's files, plain or packed, with errors that name file and line."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from bioelx.errors import FileError

D = TypeVar("D")

_OPENERS: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open}


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Opens a plain, .gz or .xz file for reading.

    Raises:
        FileError: the file is missing, cannot be read, or its packing is broken.
    """
    try:
        with _OPENERS.get(path.suffix, open)(path, "rb") as stream:
            yield stream
    except FileNotFoundError:
        raise FileError(path, "no such file") from None
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
        raise FileError(path, f"not a whole {path.suffix} file ({error})") from None
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror or error})") from None


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """Opens a plain or packed text file as UTF-8.

    Raises:
        FileError: it is not UTF-8, or as `open_bytes`.
    """
    try:
        with open_bytes(path) as stream:
            yield io.TextIOWrapper(stream, encoding="utf-8", newline="")
    except UnicodeDecodeError as error:
        raise FileError(path, f"not UTF-8 ({error.reason} at byte {error.start})") from None


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yields (number, line) of a plain or packed UTF-8 file, without line ends and byte order mark.

    Raises:
        FileError: a line is not UTF-8, or as `open_bytes`.
    """
    with open_bytes(path) as stream:
        for number, line in enumerate(stream, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise FileError(path, f"not UTF-8 ({error.reason})", line=number) from None
            yield number, text.rstrip("\r\n")


def read_document(path: Path, form: TypeAdapter[D], what: str) -> D:
    """The JSON document that a plain or packed file holds, if it has the form of `what`.

    Raises:
        FileError: not JSON (with the line), of another form (with the place), or as `open_text`.
    """
    with open_text(path) as stream:
        try:
            return form.validate_python(json.load(stream))
        except json.JSONDecodeError as error:
            raise FileError(path, f"not JSON: {error.msg}", line=error.lineno) from None
        except RecursionError:
            raise FileError(path, "not JSON: nested too deep") from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = "".join(f"[{part}]" for part in first["loc"])
            raise FileError(path, f"not {what}: {place} {first['msg']}".rstrip()) from None
