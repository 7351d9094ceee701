"""The manifest of a release: what it was made from, what it holds, and the proof that it is whole.

A release's id is the time of its making and a hash of its content: `20261123T074500Z-1a2b3c4d`.
The manifest proves the other files by their sha256, and itself by a checksum of all that it says: a
change that leaves its meaning, such as a blank more, is none.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from bioelx.errors import FileError

MANIFEST_FILE = "manifest.json"
SCHEMA = 2
_CHECKSUM = "checksum"


@dataclass(frozen=True, slots=True)
class SourceStamp:
    """One source as the release read it."""

    name: str
    snapshot: str
    licence: str
    sha256: str
    started: datetime | None = None
    """Of a pull: whatever changed at its origin after this moment may be missing."""
    records: str = ""
    """Of a pull: the sha256 of its records, by which a later one finds it."""
    last_event_id: str = ""
    """Of a pull that followed a stream of changes: where a later one goes on."""


@dataclass(frozen=True, slots=True)
class EncoderStamp:
    name: str
    fingerprint: str
    dimension: int


@dataclass(frozen=True, slots=True)
class IndexStamp:
    factory: str
    """FAISS factory string."""
    vectors: int
    recall_at_10: float
    """Share of the 10 nearest names of exact search that the index finds too; the queries are real
    names, perturbed, that do not count themselves."""
    recall_at_50: float | None = None
    parameters: dict[str, int] = field(default_factory=dict)
    """FAISS's own names: efConstruction, efSearch, nprobe."""
    device: str = "cpu"
    """Where the recall was measured."""


@dataclass(frozen=True, slots=True)
class FileStamp:
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything a server or a reader needs to know of a release without opening it."""

    id: str
    created: datetime
    parent: str | None
    sources: tuple[SourceStamp, ...]
    encoder: EncoderStamp
    index: IndexStamp
    concepts: int
    names: int
    files: dict[str, FileStamp] = field(default_factory=dict)
    recipe: dict[str, str] = field(default_factory=dict)
    """All that decides what it holds, but for the ids of its parent: a build of the same makes no
    other release."""
    schema: int = SCHEMA


_ADAPTER = TypeAdapter(Manifest)


def release_id(created: datetime, files: dict[str, FileStamp]) -> str:
    """The id of a release made at `created` (UTC) of these files."""
    content = orjson.dumps({n: f.sha256 for n, f in files.items()}, option=orjson.OPT_SORT_KEYS)
    return f"{created:%Y%m%dT%H%M%SZ}-{hashlib.sha256(content).hexdigest()[:8]}"


def stamp_files(folder: Path) -> dict[str, FileStamp]:
    """Checksums of all files under `folder` but the manifest, by their relative path."""
    own = folder / MANIFEST_FILE
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != own)
    return {str(path.relative_to(folder)): stamp_file(path) for path in paths}


def stamp_file(path: Path) -> FileStamp:
    with path.open("rb") as stream:
        return FileStamp(hashlib.file_digest(stream, "sha256").hexdigest(), path.stat().st_size)


def write_manifest(manifest: Manifest, folder: Path) -> None:
    encoded: dict[str, Any] = _ADAPTER.dump_python(manifest, mode="json")
    sealed = {**encoded, _CHECKSUM: _checksum(encoded)}
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    (folder / MANIFEST_FILE).write_bytes(orjson.dumps(sealed, option=options))


def read_manifest(folder: Path) -> Manifest:
    """Reads a release's manifest without looking at the other files.

    Raises:
        FileError: it is missing, of another schema, lacks a field (which is named), or was changed.
    """
    path = folder / MANIFEST_FILE
    try:
        raw = orjson.loads(path.read_bytes())
        if raw.get("schema") != SCHEMA:
            raise FileError(path, f"schema {raw.get('schema')}, this version reads {SCHEMA}")
        said = raw.pop(_CHECKSUM, None)
        manifest = _ADAPTER.validate_python(raw)
    except FileNotFoundError:
        raise FileError(path, "no such file: not a release's folder") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise FileError(path, f"{where}: {first['msg']}") from None
    except (orjson.JSONDecodeError, AttributeError) as error:
        raise FileError(path, f"not a manifest ({error})") from None
    if said != _checksum(raw):
        raise FileError(path, f"its {_CHECKSUM} is not that of what it says: it was changed")
    return manifest


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def verify_release(folder: Path) -> Manifest:
    """Checks every file of a release against its manifest.

    Raises:
        FileError: a file is missing, truncated or changed; the error names it.
    """
    manifest = read_manifest(folder)
    for name, said in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise FileError(path, f"missing, though {MANIFEST_FILE} lists it")
        if path.stat().st_size != said.bytes:
            raise FileError(path, f"{path.stat().st_size} bytes, {MANIFEST_FILE} says {said.bytes}")
        if stamp_file(path).sha256 != said.sha256:
            raise FileError(path, f"its sha256 is not the one in {MANIFEST_FILE}")
    return manifest


def utc_now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
