"""Locks between processes: the kernel frees one when its holder ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_FILE = ".lock"


@contextmanager
def locked(folder: Path, *, shared: bool = False, file: str = LOCK_FILE) -> Iterator[None]:
    """Holds the lock of a folder, which must exist, once whoever has it is done.

    Args:
        shared: with all others that hold it so.
        file: in the folder, that is locked.
    """
    descriptor = _open(folder, file)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def lock_if_free(folder: Path, *, file: str = LOCK_FILE) -> Iterator[bool]:
    """Holds the lock of a folder if nobody has it; yields whether it does."""
    descriptor = _open(folder, file)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _open(folder: Path, file: str) -> int:
    # Programs that the holder starts do not inherit it (PEP 446): they may outlive the holder.
    return os.open(folder / file, os.O_RDWR | os.O_CREAT, 0o644)
