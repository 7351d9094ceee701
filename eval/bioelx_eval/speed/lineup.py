"""Which systems are measured: started together, stopped together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from bioelx.encoding.encoder import read_card
from bioelx.errors import InstallationError
from bioelx.kb import KnowledgeBase
from bioelx.release import read_manifest
from bioelx.release.manifest import stamp_files
from bioelx.search.index import NameIndex
from bioelx_eval.speed.systems import (
    Judge,
    System,
    linker_inside,
    naive_script,
    server,
    trigram_script,
)

RELEASE_VECTORS = (
    "the release's own vectors as its index keeps them: the same names by the release's encoder, "
    "so the same as the script would have encoded up to quantisation"
)
OWN_VECTORS = "vectors that it encoded itself in torch fp32"


@dataclass(frozen=True, slots=True)
class Entrants:
    """What is wanted beside the release's own linker."""

    rankers: tuple[str, ...] = ()
    """Folders or hub ids."""
    torch_model: Path | None = None
    """The encoder's fp32 parent, for sentence-transformers; without it there is no script."""
    cache: Path | None = None
    """Folder that keeps the script's own vectors; without it the script takes the release's."""
    threads: int = 0


@dataclass(slots=True)
class Lineup:
    """The systems that run, and what is to be said of those that do not."""

    systems: list[System] = field(default_factory=list)
    baselines: list[str] = field(default_factory=list)
    """Titles of those that the others are compared with."""
    vectors: str = ""
    """Where those of the script come from, in words; empty where it does not run."""
    left_out: list[str] = field(default_factory=list)


@contextmanager
def started(
    entrants: Entrants,
    release: Path,
    kb: KnowledgeBase,
    folder: Path,
    say: Callable[[str], None] = lambda doing: None,
) -> Iterator[Lineup]:
    """Starts every system in a process of its own; stops them at the end.

    Args:
        folder: for what the scripts read.
        say: is told what is being started.

    Raises:
        BioelxError: a system does not start, though all it needs is installed.
    """
    lineup, judge, threads = Lineup(), Judge(kb), entrants.threads
    with ExitStack() as stack:

        def start(title: str, system: AbstractContextManager[System]) -> bool:
            say(f"starting {title}")
            try:
                lineup.systems.append(stack.enter_context(system))
            except InstallationError as error:
                lineup.left_out.append(f"{title} ({error})")
                return False
            return True

        called = [Path(ranker).name for ranker in entrants.rankers]
        for ranker in ("", *dict.fromkeys(entrants.rankers)):
            name = Path(ranker).name
            ranked = f", {name if called.count(name) == 1 else ranker}" if ranker else ""
            title = f"BioELX in process{ranked}"
            inside = linker_inside(title, release, judge, threads=threads, ranker=ranker)
            if start(title, inside):
                title = f"BioELX over gRPC{ranked}"
                start(title, server(title, release, judge, threads=threads, ranker=ranker))

        names = write_names(kb, folder)
        if start(
            "the script that a user would write", user_script(entrants, release, names, judge)
        ):
            lineup.vectors = OWN_VECTORS if entrants.cache else RELEASE_VECTORS
            lineup.baselines.append(lineup.systems[-1].title)
        start("scispaCy's way", trigram_script(judge, names=names, threads=threads))
        lineup.baselines.append(lineup.systems[-1].title)
        yield lineup


@contextmanager
def user_script(entrants: Entrants, release: Path, names: Path, judge: Judge) -> Iterator[System]:
    """The script that a user would write, in torch.

    Args:
        names: file of the distinct names, as `write_names` leaves it, in a folder for the
            script's vectors.

    Raises:
        InstallationError: it cannot run here; with what it lacks.
        BioelxError: it does not start, though all it needs is there.
    """
    if entrants.torch_model is None:
        raise InstallationError("it needs --torch-model FOLDER, the encoder's fp32 parent")
    if not (find_spec("torch") and find_spec("sentence_transformers")):
        raise InstallationError(
            "it needs torch and sentence-transformers: pip install 'bioelx[torch]'"
        )
    with naive_script(
        judge,
        model=entrants.torch_model,
        names=names,
        vectors=_vectors(entrants.torch_model, entrants.cache, release, names),
        prefix=read_card(release / "encoder").prefix,
        threads=entrants.threads,
    ) as script:
        yield script


def write_names(kb: KnowledgeBase, folder: Path) -> Path:
    """Writes the distinct names for the scripts to read; returns the file."""
    names = folder / "names.json"
    names.write_text(json.dumps(kb.texts.to_pylist()), encoding="utf-8")
    return names


def _vectors(torch_model: Path, cache: Path | None, release: Path, names: Path) -> Path:
    """The file of the script's vectors, which it makes itself if it is to have its own."""
    if cache is None:
        path = names.parent / "vectors.npy"
        np.save(path, NameIndex.open(release, read_manifest(release).index.factory).vectors())
        return path
    cache.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(names.read_bytes())
    for name, stamp in stamp_files(torch_model).items():
        digest.update(f"{name} {stamp.sha256}".encode())
    digest.update(read_card(release / "encoder").prefix.encode())
    return cache / f"naive-{digest.hexdigest()[:16]}.npy"
