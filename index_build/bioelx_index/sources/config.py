"""`sources.toml`: which sources a knowledge base is made of, and the proof that they are whole."""

from __future__ import annotations

import glob
import hashlib
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bioelx.errors import FileError
from bioelx.release import SourceStamp
from bioelx.release.manifest import stamp_file
from bioelx_index.sources import SourceConcept, umls
from bioelx_index.sources.options import Options, refusal
from bioelx_index.sources.registry import OPTIONS, READERS
from bioelx_index.sources.wikidata.folder import PULL_FILE, RECORDS_FILE, Pull, read_pull

CONFIG_FILE = "sources.toml"
WIKIDATA = "wikidata"  # the one reader that asks a server, if need be one of its own
UMLS = "umls"
DICTIONARY = "dictionary"


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """One source: how it is read, and what must be said of it."""

    name: str
    reader: str
    files: tuple[Path, ...]
    snapshot: str
    licence: str
    sha256: dict[Path, str]
    options: Options | None = None
    pull: Pull | None = None
    """If it was pulled: how."""

    def records(self) -> Iterator[SourceConcept]:
        """Reads the source's files.

        Raises:
            FileError: as its reader does.
        """
        options = () if self.options is None else (self.options,)
        return READERS[self.reader](self.name, self.files, *options)

    def stamp(self) -> SourceStamp:
        """The source as a manifest records it; one checksum over those of its files, and over
        its options where they are not the usual ones."""
        joined = "".join(self.sha256[file] for file in self.files)
        if self.options is not None and self.options != type(self.options)():
            joined += self.options.model_dump_json(exclude_defaults=True)
        whole = hashlib.sha256(joined.encode()).hexdigest()
        stamp = SourceStamp(self.name, self.snapshot, self.licence, whole)
        if self.pull is None:
            return stamp
        return replace(
            stamp,
            started=self.pull.started,
            records=self.pull.sha256,
            last_event_id=self.pull.last_event_id,
        )


class _Entry(BaseModel):
    """A [[source]] as it is written."""

    model_config = ConfigDict(extra="forbid")

    name: str
    title: str = ""
    reader: str
    files: list[str]
    snapshot: str
    licence: str
    attribution: str = ""
    url: str = ""
    options: dict[str, Any] = Field(default_factory=dict)
    sha256: dict[str, str] = Field(default_factory=dict)


def read_sources(folder: Path) -> list[SourceConfig]:
    """Reads `folder`/sources.toml and checks every file it names. The order is that of trust.

    Raises:
        FileError: an entry lacks a key or has one that is unknown or unfit, or a file is missing
            or changed; the message names the entry and the key.
    """
    path = folder / CONFIG_FILE
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))["source"]
    except FileNotFoundError:
        raise FileError(path, "no such file: not a snapshot of sources") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileError(path, f"not TOML ({error})") from None
    except KeyError:
        raise FileError(path, "has no [[source]]") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise FileError(path, "source is not an array of tables: write [[source]]")
    sources = [_read_entry(entry, number, path) for number, entry in enumerate(entries, start=1)]
    for name, times in Counter(source.name for source in sources).items():
        if times > 1:
            raise FileError(path, f"{times} [[source]] have the name {name!r}")
    return sources


def with_umls(sources: Sequence[SourceConfig], folder: Path) -> list[SourceConfig]:
    """Adds the user's own UMLS, the Metathesaurus' RRF files in `folder`, as the last source; or,
    where a source is read as UMLS already, gives it these files and leaves the rest as it is.

    Raises:
        FileError: the folder does not hold the RRF files that the reader needs.
    """
    if (folder / "META").is_dir():  # the Metathesaurus unpacks as 2026AA/META
        folder = folder / "META"
    files = tuple(umls.find(folder))
    whole = folder.resolve()
    own = SourceConfig(
        name=UMLS,
        reader=UMLS,
        files=files,
        snapshot=whole.parent.name if whole.name == "META" else whole.name,
        licence="UMLS Metathesaurus License: not to be passed on",
        sha256={file: stamp_file(file).sha256 for file in files},
        options=umls.UmlsOptions(),
    )
    if not any(source.reader == UMLS for source in sources):
        return [*sources, own]
    return [
        replace(source, files=files, snapshot=own.snapshot, sha256=own.sha256)
        if source.reader == UMLS
        else source
        for source in sources
    ]


def pulled_source(replaced: SourceConfig, folder: Path) -> SourceConfig:
    """A finished pull of Wikidata, in place of the source of that name.

    Raises:
        FileError: the folder holds no finished pull, or its records have changed since.
    """
    pull = read_pull(folder)
    records = folder / RECORDS_FILE
    if not records.is_file() or stamp_file(records).sha256 != pull.sha256:
        raise FileError(records, f"is not what {PULL_FILE} says: pull anew")
    return replace(
        replaced,
        reader="pulled",
        files=(records,),
        snapshot=f"{pull.route}: {pull.origin}, {pull.started:%Y-%m-%dT%H:%M:%SZ}",
        sha256={records: pull.sha256},
        pull=pull,
    )


def dictionary_source(file: Path) -> SourceConfig:
    """The user's own dictionary, `CUI||name` a line, as a source like the others.

    Raises:
        FileError: there is no such file.
    """
    if not file.is_file():
        raise FileError(file, "no such file")
    return SourceConfig(
        name=DICTIONARY,
        reader=DICTIONARY,
        files=(file,),
        snapshot=file.name,
        licence="that of the UMLS, where its names come from: not to be passed on",
        sha256={file: stamp_file(file).sha256},
    )


def _read_entry(written: dict[str, Any], number: int, path: Path) -> SourceConfig:
    named = f" ({written['name']!r})" if "name" in written else ""
    where = f"[[source]] number {number}{named}"
    try:
        entry = _Entry.model_validate(written)
    except ValidationError as error:
        raise FileError(path, f"{where} {refusal(error, _Entry)}") from None
    if entry.reader not in (WIKIDATA, *READERS):
        known = ", ".join(sorted([WIKIDATA, *READERS]))
        raise FileError(path, f"{where} reader: there is no {entry.reader!r}; there are {known}")
    files = tuple(file for name in entry.files for file in _find(name, path, where))
    if unfit := _unfit(entry.reader, files):
        raise FileError(path, f"{where} files: {unfit}")
    return SourceConfig(
        name=entry.name,
        reader=entry.reader,
        files=files,
        snapshot=entry.snapshot,
        licence=entry.licence,
        sha256=_checksums(files, entry.sha256, path, where),
        options=_options(entry, path, where),
    )


def _find(name: str, path: Path, where: str) -> list[Path]:
    """The file of that name beside sources.toml, or all files that a pattern fits."""
    if glob.has_magic(name):
        # Path.glob takes no absolute pattern.
        matches = glob.glob(name, root_dir=path.parent)  # noqa: PTH207
        found = sorted(path.parent / match for match in matches)
        if not found:
            raise FileError(path, f"{where} files: no file is like {name!r}")
        return found
    file = path.parent / name
    if not file.is_file():
        raise FileError(file, f"no such file, though {where} of {CONFIG_FILE} names it")
    return [file]


def _unfit(reader: str, files: Sequence[Path]) -> str:
    """Why the files are not those that a reader takes, if they are not."""
    if reader == WIKIDATA and (len(files) != 1 or not files[0].name.endswith((".nt", ".nt.xz"))):
        named = ", ".join(file.name for file in files) or "none"
        return f"the reader wikidata takes exactly one .nt or .nt.xz file, not {named}"
    if not files:
        return "names none"
    if reader == UMLS:
        try:
            umls.arrange(files)
        except FileError as error:
            return str(error)
    return ""


def _checksums(
    files: Sequence[Path], stated: dict[str, str], path: Path, where: str
) -> dict[Path, str]:
    """The sha256 of each file; where one is stated, it is that."""
    found = {file: stamp_file(file).sha256 for file in files}
    for name, sha256 in stated.items():
        file = path.parent / name
        if file not in found:
            raise FileError(path, f"{where} sha256: {name!r} is none of its files")
        if found[file] != sha256:
            raise FileError(file, f"its sha256 is not the one in {CONFIG_FILE}")
    return found


def _options(entry: _Entry, path: Path, where: str) -> Options | None:
    kind = OPTIONS.get(entry.reader)
    if kind is None:
        if entry.options:
            raise FileError(path, f"{where} options: the reader {entry.reader} takes none")
        return None
    try:
        return kind.model_validate(entry.options)
    except ValidationError as error:
        raise FileError(path, f"{where} {refusal(error, kind, 'options.')}") from None
