"""The folder of releases and its pointer `current`, which says which one is active.

releases/
  current                     one line: the id of the active release
  previous                    the one that was active before it
  20261123T074500Z-1a2b3c4d/  a release; never changed once it has this name
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from bioelx.errors import FileError, NotFoundError
from bioelx.release.manifest import (
    MANIFEST_FILE,
    Manifest,
    release_id,
    stamp_files,
    verify_release,
    write_manifest,
)
from bioelx.settings import releases_dir

CURRENT = "current"
PREVIOUS = "previous"


def list_releases(root: Path | None = None) -> list[str]:
    """Ids of the finished releases, oldest first."""
    root = root or releases_dir()
    return sorted(path.parent.name for path in root.glob(f"[0-9]*/{MANIFEST_FILE}"))


def active_release(root: Path | None = None) -> str | None:
    """The id that `current` names, or None before the first activation."""
    return _read_pointer((root or releases_dir()) / CURRENT)


def previous_release(root: Path | None = None) -> str | None:
    """The release that was active before, or None."""
    return _read_pointer((root or releases_dir()) / PREVIOUS)


def find_release(release: Path | str | None = None, root: Path | None = None) -> Path:
    """The folder of a release given by folder, by id, or (empty) the active one.

    Raises:
        NotFoundError: there is no such release; the message says what there is.
    """
    root = root or releases_dir()
    if release and (Path(release) / MANIFEST_FILE).is_file():
        return Path(release)
    wanted = str(release) if release else active_release(root)
    if wanted is None:
        raise NotFoundError(f"no release is active in {root}: run 'bioelx build' first")
    folder = root / wanted
    if not folder.is_dir():
        known = ", ".join(list_releases(root)) or "none"
        raise NotFoundError(f"no release {wanted!r} in {root}; there are: {known}")
    return folder


def finish_release(draft: Path, manifest: Manifest, root: Path | None = None) -> Manifest:
    """Turns a draft folder, on the same file system, into a release.

    The draft is completed with its manifest, flushed to disk, verified, and renamed into place.

    Args:
        manifest: what is known of the release; its id and files are filled in here.

    Returns:
        The manifest of the finished release.
    """
    root = root or releases_dir()
    files = stamp_files(draft)
    created = manifest.created
    while (root / release_id(created, files)).exists():  # the same content in the same second
        created += timedelta(seconds=1)
    finished = replace(manifest, id=release_id(created, files), created=created, files=files)
    write_manifest(finished, draft)
    for path in draft.rglob("*"):
        _flush(path)
    verify_release(draft)
    draft.rename(root / finished.id)
    _flush(root)
    return finished


def activate(release: str, root: Path | None = None) -> None:
    """Verifies a release, given by folder or by id, and makes it the active one atomically.

    Raises:
        NotFoundError: there is no such release in `root`.
        FileError: a file of it is not what its manifest says.
    """
    root = root or releases_dir()
    folder = find_release(release, root).resolve()
    if folder.parent != root.resolve():
        raise NotFoundError(f"{folder} is not in {root}: copy it there first")
    verify_release(folder)
    before = active_release(root)
    if before and before != folder.name:
        _write_pointer(root / PREVIOUS, before)
    _write_pointer(root / CURRENT, folder.name)


def roll_back(root: Path | None = None) -> str:
    """Activates the release that was active before, and returns its id.

    Raises:
        NotFoundError: none was.
    """
    root = root or releases_dir()
    before = _read_pointer(root / PREVIOUS)
    if before is None:
        raise NotFoundError(f"no earlier release to go back to in {root}")
    activate(before, root)
    return before


def _read_pointer(path: Path) -> str | None:
    try:
        pointed = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    if not pointed or "/" in pointed:
        raise FileError(path, "does not hold the id of a release")
    return pointed


def _write_pointer(path: Path, release: str) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(release + "\n", encoding="utf-8")
    _flush(draft)
    draft.replace(path)
    _flush(path.parent)


def _flush(path: Path) -> None:
    """Waits until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
