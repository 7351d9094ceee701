"""Files that may change under a running server."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

from bioelx.errors import FileError
from bioelx.service.logs import log

T = TypeVar("T")

_Stamp = tuple[int, int, int]


class Reread(Generic[T]):
    """What files say, read again once they have changed.

    While they are damaged, what they said last stands, and the log has an error. Shared by threads.
    """

    def __init__(self, files: Sequence[Path], read: Callable[[], T]) -> None:
        """
        Args:
            read: reads all of them.

        Raises:
            FileError: one is missing or damaged. Later ones are logged.
        """
        self._files = files
        self._read = read
        self._reading = Lock()
        # Stamps are taken before the files are read: what is written meanwhile is read next time.
        self._stamps = self._look()
        self._value = read()

    def get(self) -> T:
        """What they say now, or said when they were last whole."""
        with self._reading:
            stamps = self._look()
            if stamps != self._stamps:
                self._stamps = stamps
                self._renew()
            return self._value

    def _renew(self) -> None:
        named = [str(file) for file in self._files]
        try:
            self._value = self._read()
        except FileError as error:
            log("not read again", level=logging.ERROR, files=named, problem=str(error))
        else:
            log("read again", files=named)

    def _look(self) -> list[_Stamp | None]:
        return [_stamp(file) for file in self._files]


def _stamp(file: Path) -> _Stamp | None:
    try:
        found = file.stat()
    except OSError:
        return None
    # Times of the inode too: a file that was unreadable may become readable.
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def read_bytes(file: Path) -> bytes:
    """Raises: FileError: it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise FileError(file, error.strerror or "cannot be read") from None
