"""A release on its way into a server: verified, opened, warmed, and asked its canaries."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from bioelx.errors import FileError
from bioelx.kb import KnowledgeBase
from bioelx.linker import Linker
from bioelx.release import find_release
from bioelx.release.canaries import CANARIES_FILE, Canary, read_canaries
from bioelx.service.cache import Cache
from bioelx.service.engine import Engine
from bioelx.service.logs import log
from bioelx.service.pipeline import Pipeline
from bioelx.service.threads import start_threads
from bioelx.settings import ServerSettings
from bioelx.types import LinkOptions, Query, Rerank
from bioelx.v1 import linker_pb2 as pb

CANARIES_AT_ONCE = 8
"""Callers of the release that answers meanwhile wait for no more than so many."""


@dataclass(slots=True)
class CanaryRecord:
    """How many canaries have got their concept since the start of a server, and how many not."""

    passed: int = 0
    failed: int = 0


class Loader:
    """Loads releases, one after the other, beside the one that answers.

    In a thread of its own, always the same: glibc gives each thread a heap, and what is loaded and
    freed in turn in one heap leaves no more behind than the first time.
    """

    def __init__(self, settings: ServerSettings, pipeline: Pipeline) -> None:
        """`pipeline`: the one that links, for all releases: they may share models."""
        self.canaries = CanaryRecord()
        self._settings = settings
        self._pipeline = pipeline
        self._thread = start_threads(1, "loader")

    async def load(self, release: str, beside: Engine | None = None) -> Engine:
        """Loads a release, given by folder or id; empty: the active one.

        Args:
            beside: the engine that answers meanwhile; models that both need are shared.

        Raises:
            NotFoundError: there is no such release.
            FileError: a file of it is missing or damaged, or it fails a canary.
        """
        started = perf_counter()
        linker, canaries = await asyncio.get_running_loop().run_in_executor(
            self._thread, self._open, release, beside.linker if beside else None
        )
        engine = Engine(linker, Cache(self._settings.cache_bytes))
        # The first call pays for what is set up only when needed; let it be ours.
        fever = linker.read([Query.bare("fever", "en")], LinkOptions())
        await self._pipeline.link(engine, fever)
        await ask_canaries(self._pipeline, engine, canaries, self.canaries)
        log(
            "loaded",
            release=engine.release,
            canaries=len(canaries),
            seconds=round(perf_counter() - started, 3),
        )
        return engine

    async def close(self) -> None:
        """Waits for what is being loaded, which cannot be broken off."""
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    def _open(self, release: str, beside: Linker | None) -> tuple[Linker, list[Canary]]:
        settings = self._settings
        folder = find_release(release)
        linker = Linker.open(
            folder,
            threads=settings.threads,
            ranker=settings.ranker,
            ranker_precision=settings.ranker_precision,
            search=settings.index,
            beside=beside,
        )
        _warm_up(linker.knowledge_base)
        return linker, read_canaries(folder)


async def ask_canaries(
    pipeline: Pipeline, engine: Engine, canaries: list[Canary], record: CanaryRecord
) -> None:
    """Asks a release the names that it came with, and puts on record how that went.

    Raises:
        FileError: one does not get the concept that it should, by retrieval alone.
        MemoryError: there is none to try it.
    """
    options = LinkOptions(top_k=1, rerank=Rerank.NEVER)
    failed = []
    for start in range(0, len(canaries), CANARIES_AT_ONCE):
        asked = canaries[start : start + CANARIES_AT_ONCE]
        queries = [Query.bare(canary.name, canary.language) for canary in asked]
        answers = await pipeline.link(engine, engine.linker.read(queries, options))
        for line, (canary, answer) in enumerate(zip(asked, answers, strict=True), start + 1):
            if not isinstance(answer, bytes):
                raise MemoryError("none for the canaries")
            candidates = pb.Link.FromString(answer).candidates
            found = candidates[0].concept_id if candidates else "nothing"
            if found != canary.concept_id:
                failed.append((line, canary, found))
    record.passed += len(canaries) - len(failed)
    record.failed += len(failed)
    if failed:
        line, canary, found = failed[0]
        raise FileError(
            Path(engine.release) / CANARIES_FILE,
            f"{canary.name!r} ({canary.language}) finds {found}, not {canary.concept_id}; "
            f"{len(failed)} of {len(canaries)} canaries fail",
            line=line,
        )


def _warm_up(kb: KnowledgeBase) -> None:
    """Sets up what a knowledge base makes only when needed, and no call should wait for."""
    kb.labels([], ["en"])
    kb.rows_with_xref("none:0")
    _ = kb.schemes, kb.languages, kb.concept_types, kb.names_per_concept
