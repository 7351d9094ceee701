"""Sources of knowledge. Each module reads one format and yields `SourceConcept`s, nothing else.

A source may say part of what is known of a concept (a translation file gives names only, a mapping
file xrefs only), several times and in any order: `bioelx_index.merge` puts the parts together.
"""

from __future__ import annotations

import gzip
import json
import lzma
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from bioelx.errors import FileError
from bioelx.types import Name, Status


@dataclass(frozen=True, slots=True)
class SourceConcept:
    """What one source says of one concept.

    `equivalent` are CURIEs that the source holds to be the same thing (they may join concepts);
    `related` are looser cross-references (broader, narrower, close: they never join anything and
    never become xrefs of the concept).
    """

    concept_id: str
    names: tuple[Name, ...] = ()
    description: str = ""
    types: tuple[str, ...] = ()
    equivalent: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    status: Status = Status.ACTIVE
    replaced_by: str | None = None
    modified: datetime | None = None


_OPENERS: dict[str, Any] = {".xz": lzma.open, ".gz": gzip.open}


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """Opens a plain, .xz or .gz text file as UTF-8.

    Raises:
        FileError: the file is missing, its compression is broken, or it is not UTF-8.
    """
    try:
        opener = _OPENERS.get(path.suffix, open)
        with opener(path, "rt", encoding="utf-8", newline="") as stream:
            yield stream
    except FileNotFoundError:
        raise FileError(path, "no such file") from None
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
        raise FileError(path, f"not a whole {path.suffix} file ({error})") from None
    except UnicodeDecodeError as error:
        raise FileError(path, f"not UTF-8 ({error.reason} at byte {error.start})") from None


def read_json(path: Path) -> Any:
    """The document that a plain or .xz JSON file holds.

    Raises:
        FileError: not JSON (with the line), or as `open_text`.
    """
    with open_text(path) as stream:
        try:
            return json.load(stream)
        except json.JSONDecodeError as error:
            raise FileError(path, f"not JSON: {error.msg}", line=error.lineno) from None


def branch_types(
    parents: Mapping[str, Sequence[str]], branches: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Types of the terms of a hierarchy, by the nearest ancestor (or the term itself) that
    `branches` names; where several are as near, all theirs. Terms below none are left out."""
    found = {}
    for term in parents:
        level, seen = [term], {term}
        while level:
            if types := {branches[node] for node in level if node in branches}:
                found[term] = tuple(sorted(types))
                break
            level = [p for node in level for p in parents.get(node, ()) if p not in seen]
            seen.update(level)
    return found
