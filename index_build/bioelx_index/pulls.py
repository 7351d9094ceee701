"""What a build pulls of Wikidata for itself, under `cache/pulls`.

A build that is killed, at whatever stage, goes on with what it pulled. Once its tables are merged,
the pull of a slice is no longer needed. Once its release is made, the pull from an endpoint is put
aside, for `bioelx pull wikidata --since` to begin with, and the next build pulls anew.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from bioelx_index.endpoint import local_endpoint
from bioelx_index.progress import Stages
from bioelx_index.sources.config import SourceConfig
from bioelx_index.sources.wikidata.selection import Selection
from bioelx_index.sources.wikidata.sparql import pull


def pull_endpoint(url: str, cache: Path, *, user_agent: str, stages: Stages) -> Path:
    """Pulls what belongs by default from an endpoint; returns the pull's folder.

    Raises:
        SourceError: as `bioelx_index.sources.wikidata.sparql.pull`.
    """
    folder = _endpoint_folder(url, cache)
    pull(url, folder, Selection(), user_agent=user_agent, stages=stages)
    return folder


def pull_slice(source: SourceConfig, cache: Path, *, stages: Stages) -> Path:
    """Pulls all items of an RDF file in Wikidata's vocabulary, from a SPARQL server of one's own;
    returns the pull's folder."""
    [triples] = source.files
    folder, everything = _slice_folder(source, cache), Selection(everything=True)
    with local_endpoint(triples) as url:
        origin = f"{triples.name} {source.sha256[triples]}"
        pull(url, folder, everything, user_agent="", stages=stages, origin=origin)
    return folder


def forget_slice(source: SourceConfig, cache: Path) -> None:
    shutil.rmtree(_slice_folder(source, cache), ignore_errors=True)


def put_aside(url: str, cache: Path, release: str) -> None:
    """Keeps the pull that a release was made from, in place of that of an earlier release."""
    folder = _endpoint_folder(url, cache)
    earlier = [*folder.parent.glob(f"{folder.name}-*")]
    folder.rename(folder.with_name(f"{folder.name}-{release}"))
    for each in earlier:
        shutil.rmtree(each)


def _endpoint_folder(url: str, cache: Path) -> Path:
    return _folder(cache, url + Selection().fingerprint)


def _slice_folder(source: SourceConfig, cache: Path) -> Path:
    return _folder(cache, source.sha256[source.files[0]])


def _folder(cache: Path, key: str) -> Path:
    return cache / "pulls" / hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
