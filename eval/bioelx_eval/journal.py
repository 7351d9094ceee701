"""The finished batches of a run that is not over, so that it can go on after it was killed.

Each batch is one file, which appears when it is whole. The folder's name says of what run they
are; batches of a run with other settings are thrown away.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from bioelx.errors import FileError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps the folder to this process; the lock goes with the process, however that ends.

    Raises:
        FileError: another process has it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise FileError(folder, "another run is at work on it") from None
    finally:
        os.close(descriptor)


_PREFIX = ".unfinished-"


class Journal:
    """The finished batches, by number from 0."""

    def __init__(self, folder: Path, fingerprint: str, *, fresh: bool = False) -> None:
        """Finds in `folder` what is left of a run with this fingerprint; `fresh` leaves nothing."""
        self._folder = folder / f"{_PREFIX}{fingerprint[:16]}"
        for left in folder.glob(f"{_PREFIX}*"):
            if fresh or left != self._folder:
                shutil.rmtree(left)
        self._folder.mkdir(exist_ok=True)

    def __contains__(self, batch: int) -> bool:
        return self._path(batch).is_file()

    def keep(self, batch: int, table: pa.Table) -> None:
        draft = self._path(batch).with_suffix(".part")
        with draft.open("wb") as stream:
            with pa.ipc.new_file(stream, table.schema) as writer:
                writer.write_table(table)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(self._path(batch))

    def tables(self) -> Iterator[pa.Table]:
        """The batches in their order."""
        for path in sorted(self._folder.glob("*.arrow")):
            with pa.memory_map(str(path)) as source:
                yield pa.ipc.open_file(source).read_all()

    def remove(self) -> None:
        shutil.rmtree(self._folder)

    def _path(self, batch: int) -> Path:
        return self._folder / f"{batch:06}.arrow"
