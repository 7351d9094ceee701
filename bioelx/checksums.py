"""That a file is the one that a card says."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bioelx.errors import FileError


def sha256_of(path: Path) -> str:
    """The checksum of a file's content, in hexadecimal digits.

    Raises:
        FileError: there is no such file.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        raise FileError(path, "no such file") from None


def check_sha256(path: Path, expected: str, card: str) -> None:
    """Checks a file against what the card of this name says of it.

    Raises:
        FileError: the file is missing, or another.
    """
    if (actual := sha256_of(path)) != expected:
        raise FileError(path, f"sha256 is {actual[:12]}…, {card} says {expected[:12]}…")
