"""A release on its way into a server: verified, opened, warmed, and asked its canaries."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

from bioelx.errors import FileError
from bioelx.kb import KnowledgeBase
from bioelx.linker import Linker
from bioelx.release import find_release
from bioelx.release.canaries import CANARIES_FILE, Canary, read_canaries
from bioelx.service.batcher import Batcher
from bioelx.service.engine import Engine
from bioelx.service.logs import log
from bioelx.settings import ServerSettings
from bioelx.types import LinkOptions, Query, Rerank

CANARIES_AT_ONCE = 8
"""Callers of the release that answers meanwhile wait for no more than so many."""


class Loader:
    """Loads releases, one after the other, beside the one that answers.

    In a thread of its own, always the same: glibc gives each thread a heap, and what is loaded and
    freed in turn in one heap leaves no more behind than the first time.
    """

    def __init__(self, settings: ServerSettings, worker: Executor) -> None:
        """`worker`: the one thread that links, for all releases: they may share models."""
        self._settings = settings
        self._worker = worker
        self._thread = ThreadPoolExecutor(1, "loader")

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
        batcher = Batcher(
            linker.link,
            self._worker,
            batch_mentions=self._settings.batch_mentions,
            queue_mentions=self._settings.queue_mentions,
        )
        engine = Engine(linker, batcher)
        try:
            # The first call pays for what is set up only when needed; let it be ours.
            await batcher.link([Query.bare("fever", "en")], LinkOptions())
            await ask_canaries(engine, canaries)
        except BaseException:
            await batcher.close()
            raise
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


async def ask_canaries(engine: Engine, canaries: list[Canary]) -> None:
    """Asks a release the names that it came with.

    Raises:
        FileError: one does not get the concept that it should, by retrieval alone.
    """
    options = LinkOptions(top_k=1, rerank=Rerank.NEVER)
    failed = []
    for start in range(0, len(canaries), CANARIES_AT_ONCE):
        asked = canaries[start : start + CANARIES_AT_ONCE]
        queries = [Query.bare(canary.name, canary.language) for canary in asked]
        linked = await engine.batcher.link(queries, options)
        for line, (canary, link) in enumerate(zip(asked, linked.links, strict=True), start + 1):
            found = link.candidates[0].concept.concept_id if link.candidates else "nothing"
            if found != canary.concept_id:
                failed.append((line, canary, found))
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
