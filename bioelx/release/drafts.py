"""Drafts: folders beside the releases, in which a release is written before it is one.

A draft is locked for as long as its build lives. What a killed build left is not locked any more,
and so can be told from the draft of a build that is at work.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bioelx.release.lock import lock_if_free, locked

DRAFT_PREFIX = ".draft-"


@contextmanager
def draft_folder(root: Path) -> Iterator[Path]:
    """Makes an empty folder to write a release of `root` in; removes it, if still there, after.

    It lies inside the locked folder, where others may not look: so it has the mode that folders
    have, and `finish_release` can rename it into place.
    """
    root.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        with locked(root):  # no sweep comes between the making and the locking
            scratch = Path(tempfile.mkdtemp(prefix=DRAFT_PREFIX, dir=root))
            held.callback(shutil.rmtree, scratch, ignore_errors=True)
            held.enter_context(locked(scratch))
        draft = scratch / "release"
        draft.mkdir()
        yield draft


def dead_drafts(root: Path) -> list[Path]:
    """The drafts that no build works on any more. To be called with `root` locked."""
    return [path for path in sorted(root.glob(f"{DRAFT_PREFIX}*")) if _is_dead(path)]


def _is_dead(scratch: Path) -> bool:
    with lock_if_free(scratch) as is_free:
        return is_free
