"""`sources.toml`: which sources a knowledge base is made of, and the proof that they are whole."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

from bioelx.errors import FileError
from bioelx.release import SourceStamp
from bioelx.release.manifest import stamp_file
from bioelx_index.sources import umls

CONFIG_FILE = "sources.toml"


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """One source: how it is read, and what must be said of it."""

    name: str
    reader: str
    files: tuple[Path, ...]
    snapshot: str
    licence: str
    sha256: dict[Path, str]

    def stamp(self) -> SourceStamp:
        """The source as a manifest records it; one checksum over those of its files."""
        joined = "".join(self.sha256[file] for file in self.files)
        whole = hashlib.sha256(joined.encode()).hexdigest()
        return SourceStamp(self.name, self.snapshot, self.licence, whole)


def read_sources(folder: Path) -> list[SourceConfig]:
    """Reads `folder`/sources.toml and checks every file it names. The order is that of trust.

    Raises:
        FileError: a file is missing or changed, or an entry lacks a key (which is named).
    """
    path = folder / CONFIG_FILE
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))["source"]
    except FileNotFoundError:
        raise FileError(path, "no such file: not a snapshot of sources") from None
    except tomllib.TOMLDecodeError as error:
        raise FileError(path, f"not TOML ({error})") from None
    except KeyError:
        raise FileError(path, "has no [[source]]") from None
    return [_read_entry(entry, number, path) for number, entry in enumerate(entries, start=1)]


def umls_source(folder: Path) -> SourceConfig:
    """The user's own UMLS: the Metathesaurus' RRF files in `folder`, as a source like the others.

    Raises:
        FileError: the folder holds no RRF files that the reader knows.
    """
    wanted = [umls.CONCEPTS, umls.TYPES, umls.DEFINITIONS]
    files = tuple(p for name in wanted for p in sorted(folder.glob(f"{name}*")))
    if not files:
        raise FileError(folder, f"holds none of {', '.join(wanted)}, plain or .gz")
    return SourceConfig(
        name="umls",
        reader="umls",
        files=files,
        snapshot=folder.resolve().parent.name,  # 2026AA/META, as the Metathesaurus unpacks
        licence="UMLS Metathesaurus License: not to be passed on",
        sha256={file: stamp_file(file).sha256 for file in files},
    )


def dictionary_source(file: Path) -> SourceConfig:
    """The user's own dictionary, `CUI||name` a line, as a source like the others.

    Raises:
        FileError: there is no such file.
    """
    if not file.is_file():
        raise FileError(file, "no such file")
    return SourceConfig(
        name="dictionary",
        reader="dictionary",
        files=(file,),
        snapshot=file.name,
        licence="that of the UMLS, where its names come from: not to be passed on",
        sha256={file: stamp_file(file).sha256},
    )


def _read_entry(entry: dict, number: int, path: Path) -> SourceConfig:
    try:
        config = SourceConfig(
            name=entry["name"],
            reader=entry["reader"],
            files=tuple(path.parent / file for file in entry["files"]),
            snapshot=entry["snapshot"],
            licence=entry["licence"],
            sha256={path.parent / file: sha for file, sha in entry["sha256"].items()},
        )
    except KeyError as error:
        raise FileError(path, f"[[source]] number {number} has no {error}") from None
    for file in config.files:
        if not file.is_file():
            raise FileError(file, f"no such file, though {CONFIG_FILE} names it")
        if stamp_file(file).sha256 != config.sha256.get(file):
            raise FileError(file, f"its sha256 is not the one in {CONFIG_FILE}")
    return config
