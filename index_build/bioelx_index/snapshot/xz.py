"""Deterministic xz files: the same bytes in give the same bytes out."""

import lzma
from pathlib import Path


def write_xz(path: Path, data: bytes) -> None:
    """Write ``data`` compressed to ``path``; a file that already holds it is left alone.

    One thread and a fixed preset, so that a second run, and a second machine with the same
    liblzma, give identical files. The file appears whole or not at all.
    """
    if path.exists() and _holds(path, data):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
    partial.replace(path)


def read_xz(path: Path) -> bytes:
    """The uncompressed bytes of ``path``."""
    return lzma.decompress(path.read_bytes())


def _holds(path: Path, data: bytes) -> bool:
    try:
        return read_xz(path) == data
    except lzma.LZMAError:
        return False
