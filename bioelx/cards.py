"""Cards: what a model says of itself and of the files beside it, and that these are the ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

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


def read_stamped(
    path: Path, schema: int, fields: Mapping[str, Callable[[Any], Any]], owner: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Reads a card, and checks the files beside it against their checksums in it.

    Args:
        fields: what it has to say, and how each is read.
        owner: whose card it is: `an encoder`.

    Returns:
        What it says, by field, and the checksums, by the name of the file.

    Raises:
        FileError: the card or a file is missing, or differs from what it should be.
    """
    try:
        raw = orjson.loads(path.read_bytes())
        if raw["schema"] != schema:
            raise FileError(path, f"schema {raw['schema']}, this version reads {schema}")
        files = {name: str(said["sha256"]) for name, said in raw["files"].items()}
        card = {name: read(raw[name]) for name, read in fields.items()}
    except FileNotFoundError:
        raise FileError(path, f"no such file: not {owner}'s folder") from None
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileError(path, f"not {owner}'s card ({error!r})") from None
    for name, expected in files.items():
        if (actual := sha256_of(path.parent / name)) != expected:
            problem = f"sha256 is {actual[:12]}…, {path.name} says {expected[:12]}…"
            raise FileError(path.parent / name, problem)
    return card, files
