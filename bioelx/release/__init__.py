"""Releases: immutable folders that a server loads, and which one is active."""

from bioelx.release.drafts import draft_folder
from bioelx.release.manifest import (
    EncoderStamp,
    FileStamp,
    IndexStamp,
    Manifest,
    SourceStamp,
    read_manifest,
    verify_release,
)
from bioelx.release.prune import KEEP, Pruned, prune
from bioelx.release.store import (
    activate,
    active_release,
    find_release,
    list_releases,
    previous_release,
    roll_back,
)

__all__ = [
    "KEEP",
    "EncoderStamp",
    "FileStamp",
    "IndexStamp",
    "Manifest",
    "Pruned",
    "SourceStamp",
    "activate",
    "active_release",
    "draft_folder",
    "find_release",
    "list_releases",
    "previous_release",
    "prune",
    "read_manifest",
    "roll_back",
    "verify_release",
]
