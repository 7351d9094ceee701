"""Ship the raw files of the ontologies in their original bytes, recompressed only."""

import gzip
from collections.abc import Iterator
from pathlib import Path

from bioelx_index.snapshot.catalogue import SOURCES
from bioelx_index.snapshot.xz import write_xz


def count() -> int:
    """How many files `ship` writes."""
    return sum(bool(original) for source in SOURCES for original in source.files.values())


def ship(raw: Path, out: Path) -> Iterator[str]:
    """Recompress every raw file that the catalogue names; yields each shipped path when done.

    Raises FileNotFoundError, naming the file, if the raw folder lacks one.
    """
    for source in SOURCES:
        for shipped, original in source.files.items():
            if original:
                write_xz(out / shipped, _read(raw / original))
                yield shipped


def _read(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data
