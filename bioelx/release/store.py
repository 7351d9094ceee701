"""The folder of releases and its pointer `current`, which says which one is active.

releases/
  current                     one line: the id of the active release
  previous                    the last two that were active, the newest first
  20261123T074500Z-1a2b3c4d/  a release; never changed once it has this name
  .draft-*/ .pieces/ .lock    see drafts.py, pieces.py and lock.py

Whoever changes what is active, or takes a release away, holds the lock of the folder meanwhile.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from bioelx.disk import flush, write_whole
from bioelx.errors import FileError, NotFoundError
from bioelx.release.lock import locked
from bioelx.release.manifest import (
    MANIFEST_FILE,
    Manifest,
    release_id,
    stamp_files,
    verify_release,
    write_manifest,
)
from bioelx.release.pieces import keep_once
from bioelx.settings import releases_dir

CURRENT = "current"
PREVIOUS = "previous"


def list_releases(root: Path | None = None) -> list[str]:
    """Ids of the finished releases, oldest first."""
    root = root or releases_dir()
    return sorted(path.parent.name for path in root.glob(f"[0-9]*/{MANIFEST_FILE}"))


def active_release(root: Path | None = None) -> str | None:
    """The id that `current` names, or None before the first activation."""
    return next(iter(_read_pointers((root or releases_dir()) / CURRENT)), None)


def previous_release(root: Path | None = None) -> str | None:
    """The id of the release that was active before, or None where none was."""
    root = root or releases_dir()
    active = active_release(root)
    return next((each for each in _read_pointers(root / PREVIOUS) if each != active), None)


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
    A file that another release holds already becomes one with that on the disk.

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
    for name, stamp in files.items():
        keep_once(draft / name, stamp, root)
    write_manifest(finished, draft)
    flush(draft / MANIFEST_FILE)
    for folder in (draft, *(path for path in draft.rglob("*") if path.is_dir())):
        flush(folder)
    verify_release(draft)
    draft.rename(root / finished.id)
    flush(root)
    return finished


def activate(release: str, root: Path | None = None) -> str:
    """Verifies a release, given by folder or by id, and makes it the active one in one step.

    Returns:
        Its id.

    Raises:
        NotFoundError: there is no such release in `root`.
        FileError: a file of it is not what its manifest says.
    """
    root = root or releases_dir()
    folder = find_release(release, root).resolve()
    if folder.parent != root.resolve():
        raise NotFoundError(f"{folder} is not in {root}: copy it there first")
    with locked(root):
        _activate(folder.name, root)
    return folder.name


def roll_back(root: Path | None = None) -> str:
    """Makes the release active again that was so before, and returns its id.

    Raises:
        NotFoundError: none was, or it is gone.
        FileError: a file of it is not what its manifest says.
    """
    root = root or releases_dir()
    root.mkdir(parents=True, exist_ok=True)
    with locked(root):
        before = previous_release(root)
        if before is None:
            raise NotFoundError(f"no earlier release to go back to in {root}")
        _activate(find_release(before, root).name, root)
    return before


def _activate(release: str, root: Path) -> None:
    """Switches the pointers; a kill between the two changes nothing that can be seen."""
    manifest = verify_release(root / release)
    if manifest.id != release:
        raise FileError(root / release, f"holds {manifest.id}: a release keeps its name")
    active = active_release(root)
    if active == release:
        return
    if active:
        before = previous_release(root)
        write_whole(_pointers(active, *([before] if before else [])), root / PREVIOUS)
    write_whole(_pointers(release), root / CURRENT)


def _pointers(*releases: str) -> bytes:
    return "".join(f"{release}\n" for release in releases).encode()


def _read_pointers(path: Path) -> list[str]:
    try:
        pointed = path.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        pointed = []
    if not pointed or any("/" in each for each in pointed):
        raise FileError(path, "does not hold the id of a release")
    return pointed
