"""Files that are whole whenever they can be seen, whatever happens to their writer."""

from __future__ import annotations

import os
from pathlib import Path

from bioelx.errors import FileError


def write_whole(content: bytes, path: Path) -> None:
    """Writes a file beside its place, flushes it, and renames it into place.

    Two writers of one file must take turns.

    Raises:
        FileError: it cannot be written, as where the disk is full; then it is what it was.
    """
    draft = path.with_name(f"{path.name}.new")
    try:
        draft.write_bytes(content)
        flush(draft)
        draft.replace(path)
        flush(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise FileError(path, f"cannot be written ({error.strerror})") from None


def flush(path: Path) -> None:
    """Waits until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
