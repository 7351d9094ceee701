"""What a build pulls of Wikidata for itself, under `cache`.

The pull of a slice is kept like the result of any stage. What an endpoint says may be another thing
tomorrow: a build that is killed, at whatever stage, goes on with what it pulled, but once its
release is made, the pull is put aside, as what the next update begins with, and the next build
pulls anew.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from bioelx.errors import FileError
from bioelx.release import Manifest
from bioelx_index.endpoint import local_endpoint
from bioelx_index.kept import digest
from bioelx_index.places import PULLS
from bioelx_index.progress import Stages
from bioelx_index.sources.config import SourceConfig
from bioelx_index.sources.wikidata.base import Base
from bioelx_index.sources.wikidata.changes import pull_changes
from bioelx_index.sources.wikidata.folder import read_pull
from bioelx_index.sources.wikidata.selection import Selection
from bioelx_index.sources.wikidata.sparql import pull


def pull_endpoint(url: str, cache: Path, *, user_agent: str, stages: Stages) -> Path:
    """Pulls what belongs by default from an endpoint; returns the pull's folder.

    Raises:
        SourceError: as `bioelx_index.sources.wikidata.sparql.pull`.
    """
    folder = cache / PULLS / digest([url, Selection().fingerprint])
    pull(url, folder, Selection(), user_agent=user_agent, stages=stages)
    return folder


def pull_since(base: Base, url: str, cache: Path, *, user_agent: str, stages: Stages) -> Path:
    """Brings an earlier pull up to date from an endpoint; returns the new pull's folder.

    Raises:
        SourceError: as `bioelx_index.sources.wikidata.changes.pull_changes`.
    """
    folder = cache / PULLS / digest([url, base.pull.sha256])
    pull_changes(base, url, folder, user_agent=user_agent, stages=stages)
    return folder


def pull_slice(source: SourceConfig, folder: Path, *, stages: Stages) -> None:
    """Pulls all items of an RDF file in Wikidata's vocabulary, from a SPARQL server of one's own,
    into a folder."""
    [triples] = source.files
    everything = Selection(everything=True)
    with local_endpoint(triples) as url:
        origin = f"{triples.name} {source.sha256[triples]}"
        pull(url, folder, everything, user_agent="", stages=stages, origin=origin)


def is_in_hand(folder: Path, cache: Path) -> bool:
    """Whether a build has pulled it for itself, and not put it aside yet."""
    return folder.parent == cache / PULLS and "-" not in folder.name


def put_aside(folder: Path, release: str) -> None:
    """Keeps a pull as the one that a release was made from."""
    kept = folder.with_name(f"{folder.name}-{release}")
    shutil.rmtree(kept, ignore_errors=True)  # of the same items: nothing had changed since
    folder.rename(kept)


def is_needed(folder: Path, cache: Path, manifests: Iterable[Manifest]) -> bool:
    """Whether a build has the pull in hand, or an update of some release may begin with it."""
    if is_in_hand(folder, cache):
        return True
    try:
        records = read_pull(folder).sha256
    except FileError:  # another version's
        return False
    return any(source.records == records for each in manifests for source in each.sources)
