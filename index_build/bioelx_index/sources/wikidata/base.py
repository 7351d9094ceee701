"""The pull that a release was built from: what a later pull of the changes begins with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from bioelx.errors import BioelxError, FileError
from bioelx.release import SourceStamp, read_manifest
from bioelx.release.manifest import stamp_file
from bioelx_index.sources.wikidata.folder import PULL_FILE, RECORDS_FILE, Pull, read_pull
from bioelx_index.sources.wikidata.item import SOURCE
from bioelx_index.sources.wikidata.selection import Selection


@dataclass(frozen=True, slots=True)
class Base:
    """A finished pull and where it lies."""

    folder: Path
    pull: Pull

    @property
    def records(self) -> Path:
        return self.folder / RECORDS_FILE

    @property
    def selection(self) -> Selection:
        return TypeAdapter(Selection).validate_python(self.pull.selection)


def open_base(folder: Path) -> Base:
    """A finished pull.

    Raises:
        FileError: the folder holds none, or its records are not those that it says.
    """
    base = Base(folder, read_pull(folder))
    if stamp_file(base.records).sha256 != base.pull.sha256:
        raise FileError(base.records, f"its sha256 is not the one in {PULL_FILE}")
    return base


def find_base(release: Path, places: Sequence[Path], *, folder: Path | None = None) -> Base:
    """The pull of Wikidata that a release was built from.

    Args:
        release: the release's folder.
        places: folders of pulls, to look in.
        folder: the pull itself, if it is known.

    Raises:
        BioelxError: the release was built from none, or it is in none of the places.
        FileError: the folder is not that pull's, or the pull is broken.
    """
    stamp = _stamp(release)
    if folder:
        base = open_base(folder)
        if base.pull.sha256 != stamp.records:
            raise FileError(folder, f"is not the pull that release {release.name} was built from")
        return base
    for place in places:
        for path in sorted(place.glob(f"*/{PULL_FILE}")):
            if _is(stamp, path.parent):
                return open_base(path.parent)
    looked = " or ".join(map(str, places))
    taken = f" of {stamp.started:%Y-%m-%d %H:%M} UTC" if stamp.started else ""
    raise BioelxError(
        f"release {release.name} was built from a pull of Wikidata{taken} that is not in "
        f"{looked}: name its folder with --base, or pull anew"
    )


def _stamp(release: Path) -> SourceStamp:
    for stamp in read_manifest(release).sources:
        if stamp.name == SOURCE and stamp.records:
            return stamp
    raise BioelxError(
        f"release {release.name} was not built from a pull of Wikidata, so there is nothing to "
        "bring up to date: pull anew, and build from that with 'bioelx build --wikidata DIR'"
    )


def _is(stamp: SourceStamp, folder: Path) -> bool:
    try:
        return read_pull(folder).sha256 == stamp.records
    except FileError:
        return False  # another version's, which is nobody's fault
