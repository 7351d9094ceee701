"""What the stages of a build made, each under the digest of all that it was made from.

    CACHE/STAGE/DIGEST/             the files of a result
    CACHE/STAGE/DIGEST/whole.json   their checksums; its presence says that the result is whole
    CACHE/.in-use                   locked by all builds at work

A build takes what is there, and goes on with what a killed one began. Of two builds that want the
same result one makes it, and the other waits for that.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from bioelx.release.lock import LOCK_FILE, lock_if_free, locked
from bioelx.release.manifest import stamp_file

WHOLE_FILE = "whole.json"
_IN_USE_FILE = ".in-use"
_KEPT = 2
"""Results of each stage: the latest, and the one before, to which a user may go back."""


class Result:
    """One stage's result, in the hands of this process alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """Of its files; of an unfinished one also what a killed process left."""
        self.whole = self._is_whole()

    def keep(self) -> None:
        """Declares the result whole: its files are all written."""
        draft = self.folder / f"{WHOLE_FILE}.part"
        draft.write_bytes(orjson.dumps(self._checksums(), option=orjson.OPT_SORT_KEYS))
        draft.replace(self.folder / WHOLE_FILE)
        self.whole = True

    def _is_whole(self) -> bool:
        try:
            said = orjson.loads((self.folder / WHOLE_FILE).read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError):
            return False
        if said == self._checksums():
            return True
        # Damaged since; nothing of it can be gone on with.
        for path in self.folder.iterdir():
            if path.name != LOCK_FILE:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return False

    def _checksums(self) -> dict[str, str]:
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return {
            str(path.relative_to(self.folder)): stamp_file(path).sha256
            for path in files
            if path.name not in (LOCK_FILE, WHOLE_FILE, f"{WHOLE_FILE}.part")
        }


class Kept:
    """The results of all stages, in a folder of their own."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def result(self, stage: str, recipe: Any) -> Iterator[Result]:
        """The result of a stage: one that is there, or a new one, to be made and kept.

        Args:
            recipe: all that decides what comes out, as JSON; BioELX's own version counts, too.
        """
        folder = self._root / stage / digest([version("bioelx"), recipe])
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            result = Result(folder)
            os.utime(folder)
            yield result


def outdated(stage: Path) -> list[Path]:
    """The results in a stage's folder that neither the last build used nor the one before."""
    return sorted(stage.glob("*"), key=_last_used)[:-_KEPT]


STAGES = ("slice", "merged", "encoder", "index", "confidence")
"""Whose results are kept."""


@contextmanager
def in_use(cache: Path) -> Iterator[None]:
    """While this lasts, nobody removes anything from the cache."""
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache, shared=True, file=_IN_USE_FILE):
        yield


@contextmanager
def unless_in_use(cache: Path) -> Iterator[bool]:
    """Yields whether no build is at work; if so, those that begin meanwhile wait."""
    cache.mkdir(parents=True, exist_ok=True)
    with lock_if_free(cache, file=_IN_USE_FILE) as free:
        yield free


def digest(value: Any) -> str:
    """A short name of a value (JSON) that no other has by chance."""
    encoded = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(encoded, digest_size=8).hexdigest()


def _last_used(folder: Path) -> float:
    return folder.stat().st_mtime
