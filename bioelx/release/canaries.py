"""Canaries: names that a release ships with the concept that it answers each of them with.

A server asks them of a release before it lets callers ask: what every file's checksum cannot tell
is whether the release answers on this machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import orjson
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from bioelx.errors import FileError

CANARIES_FILE = "canaries.jsonl"


@dataclass(frozen=True, slots=True)
class Canary:
    """A name as a caller would send it, and the concept that is to come first."""

    name: str
    language: str
    concept_id: str


_ADAPTER = TypeAdapter(Canary)


def write_canaries(canaries: Iterable[Canary], folder: Path) -> None:
    lines = (orjson.dumps(asdict(each), option=orjson.OPT_APPEND_NEWLINE) for each in canaries)
    (folder / CANARIES_FILE).write_bytes(b"".join(lines))


def read_canaries(folder: Path) -> list[Canary]:
    """The canaries of a release, in their order; none where it ships none.

    Raises:
        FileError: a line is not a canary; naming it.
    """
    path = folder / CANARIES_FILE
    if not path.exists():
        return []
    canaries = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            canaries.append(_ADAPTER.validate_json(line, strict=True))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise FileError(path, f"{where or 'canary'}: {first['msg']}", line=number) from None
    return canaries
