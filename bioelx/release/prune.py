"""Takes away old releases and what dead builds left, and gives the disk back what they held."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from bioelx.errors import BioelxError
from bioelx.release.drafts import DRAFT_PREFIX, dead_drafts
from bioelx.release.lock import locked
from bioelx.release.pieces import bytes_freed, unused_pieces
from bioelx.release.store import active_release, list_releases, previous_release
from bioelx.settings import releases_dir

KEEP = 3


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was taken away, or would be."""

    kept: tuple[str, ...]
    removed: tuple[str, ...]
    drafts: int
    """Folders that dead builds left."""
    bytes: int
    """What the disk gets back: a file that a kept release holds too frees nothing."""


def prune(root: Path | None = None, *, keep: int = KEEP, dry_run: bool = False) -> Pruned:
    """Removes all releases but the active one, the one before it, and the newest ones.

    A server that has a removed release loaded goes on with it: its files live until it closes them.

    Args:
        keep: how many of the newest releases stay.
        dry_run: only say what would be removed.
    """
    root = root or releases_dir()
    if not root.is_dir():
        raise BioelxError(f"no releases in {root}")
    with locked(root):
        releases = list_releases(root)
        named = {active_release(root), previous_release(root)}
        named.update(releases[max(0, len(releases) - keep) :])
        removed = tuple(each for each in releases if each not in named)
        drafts = dead_drafts(root)
        said = Pruned(
            kept=tuple(each for each in releases if each in named),
            removed=removed,
            drafts=len(drafts),
            bytes=bytes_freed([*(root / each for each in removed), *drafts], root),
        )
        if not dry_run:
            for release in removed:
                # First no release any more, in one step: a kill leaves no half of one.
                drafts.append((root / release).rename(root / f"{DRAFT_PREFIX}{release}"))
            for draft in drafts:
                shutil.rmtree(draft)
            for piece in unused_pieces(root):
                piece.unlink()
    return said
