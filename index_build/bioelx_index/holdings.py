"""What a BIOELX_HOME's cache holds, and what of it nobody needs any more."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bioelx.errors import BioelxError, FileError
from bioelx.release import Manifest, list_releases, read_manifest
from bioelx_index.kept import STAGES, outdated, unless_in_use
from bioelx_index.places import PULLS, Places
from bioelx_index.pulls import is_needed
from bioelx_index.vector_store import SUFFIX, store_size
from bioelx_index.vectors import VECTORS


@dataclass(frozen=True, slots=True)
class Holding:
    """Something in the cache."""

    kind: str
    name: str
    note: str
    paths: tuple[Path, ...]
    needed: bool
    bytes: int

    @classmethod
    def of(cls, kind: str, name: str, note: str, needed: bool, *paths: Path) -> Holding:
        return cls(kind, name, note, paths, needed, sum(map(_size, paths)))


def holdings(places: Places) -> list[Holding]:
    """All that the cache holds.

    Needed are the vectors of encoders that some release has, the pulls that an update of some
    release begins with or that a build has in hand, and of each stage the results used last.
    """
    manifests = dict(_manifests(places.releases))
    return [*_vectors(places, manifests), *_pulls(places, manifests), *_results(places)]


def prune(places: Places) -> list[Holding]:
    """Removes what is not needed, and returns it.

    Raises:
        BioelxError: a build is at work.
    """
    with unless_in_use(places.cache) as free:
        if not free:
            raise BioelxError(f"{places.cache}: a build is at work; try again when it is done")
        return _remove_unneeded(holdings(places))


def tidy(places: Places) -> None:
    """Removes pulls and results that are not needed, unless a build is at work. Vectors stay: they
    took longest to make."""
    with unless_in_use(places.cache) as free:
        if free:
            manifests = dict(_manifests(places.releases))
            _remove_unneeded([*_pulls(places, manifests), *_results(places)])


def _remove_unneeded(held: list[Holding]) -> list[Holding]:
    gone = [each for each in held if not each.needed]
    for path in (path for each in gone for path in each.paths):
        if path.is_dir():
            shutil.rmtree(path)
            continue
        path.unlink()
        with suppress(OSError):  # there is more in it
            path.parent.rmdir()
    return gone


def _manifests(releases: Path) -> Iterator[tuple[str, Manifest]]:
    for release in list_releases(releases):
        try:
            yield release, read_manifest(releases / release)
        except FileError:  # another version's, which has no use for this cache
            continue


def _vectors(places: Places, manifests: dict[str, Manifest]) -> Iterator[Holding]:
    encoders = {each.encoder.fingerprint: each.encoder.name for each in manifests.values()}
    for folder in sorted((places.cache / VECTORS).glob("*")):
        segments = sorted(folder.glob(f"*{SUFFIX}"))
        others = sorted({*folder.iterdir()}.difference(segments))
        name = encoders.get(folder.name, "of no release")
        note = f"{store_size(folder).vectors:,} names, {name}"
        yield Holding.of("vectors", folder.name, note, folder.name in encoders, *segments)
        if others:
            yield Holding.of("vectors", folder.name, "of an earlier BioELX", False, *others)


def _pulls(places: Places, manifests: dict[str, Manifest]) -> Iterator[Holding]:
    for folder in sorted((places.cache / PULLS).glob("*")):
        needed = is_needed(folder, places.cache, manifests.values())
        note = "in hand, or what an update begins with" if needed else "of no release"
        yield Holding.of("pull", folder.name, note, needed, folder)


def _results(places: Places) -> Iterator[Holding]:
    for stage in STAGES:
        old = outdated(places.cache / stage)
        for folder in sorted((places.cache / stage).glob("*")):
            note = "not used lately" if folder in old else "used last"
            yield Holding.of(stage, folder.name, note, folder not in old, folder)


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
