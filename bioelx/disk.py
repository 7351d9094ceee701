"""Files that are whole whenever they can be seen, whatever happens to their writer."""

from __future__ import annotations

import os
from pathlib import Path

from bioelx.errors import FileError


def write_whole(
    content: bytes, path: Path, *, mode: int | None = None, owner: tuple[int, int] | None = None
) -> None:
    """Writes a file beside its place, flushes it, and renames it into place.

    Two writers of one file must take turns.

    Args:
        mode: its permissions; default: those of any new file.
        owner: ids of user and group; default: the writer's.

    Raises:
        FileError: it cannot be written, as where the disk is full; then it is what it was.
    """
    draft = path.with_name(f"{path.name}.new")
    try:
        if mode is not None:  # until it has that, nobody else reads it
            draft.unlink(missing_ok=True)
            draft.touch(0o600)
        draft.write_bytes(content)
        if owner is not None:
            os.chown(draft, *owner)
        if mode is not None:
            draft.chmod(mode)
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
