"""Pieces: the contents of releases' files, each stored once, however many releases hold it.

releases/
  .pieces/1d48d3cf...  a hard link to the files of this sha256, in whatever releases they are

A release's file and its piece are the same bytes on the disk under two names. So a release is a
plain folder, to be copied as one, and needs no piece to be read; and a piece with no second name is
one that no release holds any more. Where a file system has no hard links there are no pieces, and
each release has its own bytes.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from bioelx.disk import flush
from bioelx.release.manifest import FileStamp, stamp_file

PIECES = ".pieces"
_LINK = ".link"


def keep_once(path: Path, stamp: FileStamp, root: Path) -> None:
    """Sees to it that a draft's file is on the disk, and no second time if a release has it.

    Args:
        stamp: of the file.
        root: the folder of releases, on the same file system.
    """
    piece = root / PIECES / stamp.sha256
    with suppress(OSError):  # no hard links here, or too many of one file
        if _is_whole(piece, stamp):
            _replace_by_link(piece, path)
            return
    flush(path)
    with suppress(OSError):
        piece.parent.mkdir(exist_ok=True)
        piece.unlink(missing_ok=True)  # a damaged one: what has it stays as it is
        os.link(path, piece)


def unused_pieces(root: Path) -> list[Path]:
    """The pieces that no release or draft holds."""
    return [piece for piece in (root / PIECES).glob("*") if piece.stat().st_nlink == 1]


def bytes_on_disk(folders: Iterable[Path]) -> int:
    """How many bytes the files in these folders take, each counted once."""
    return sum({said.st_ino: said.st_size for said in map(Path.stat, _files(folders))}.values())


def bytes_freed(folders: Iterable[Path], root: Path) -> int:
    """How many bytes the disk would get back if these folders of `root` were gone, with the pieces
    that nothing else holds."""
    said = [path.stat() for path in (*(root / PIECES).glob("*"), *_files(folders))]
    links = Counter(each.st_ino for each in said)
    sizes = {each.st_ino: each.st_size for each in said if links[each.st_ino] == each.st_nlink}
    return sum(sizes.values())


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    return (path for folder in folders for path in folder.rglob("*") if path.is_file())


def _is_whole(piece: Path, stamp: FileStamp) -> bool:
    return piece.is_file() and stamp_file(piece) == stamp


def _replace_by_link(piece: Path, path: Path) -> None:
    if path.samefile(piece):
        return
    link = path.with_name(_LINK)
    os.link(piece, link)
    link.replace(path)
