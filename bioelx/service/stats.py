"""What the server has done and holds, as plain numbers: for metrics, which read them when asked."""

from __future__ import annotations

from dataclasses import dataclass

from bioelx.service.admission import Admission
from bioelx.service.cache import CacheStats
from bioelx.service.engine import Engines
from bioelx.service.pipeline import Pipeline, PipelineStats


@dataclass(frozen=True, slots=True)
class EngineStats:
    """Counters grow from the start of the server, the caches' from the loading of their release."""

    tokens: int
    """Taken on and not yet answered."""
    bound: int
    """Of those tokens, at the rate of the moment."""
    tokens_per_second: float
    """As measured under load; 0 until then."""
    rejected: int
    """Requests turned away for overload."""
    pipeline: PipelineStats
    caches: dict[str, CacheStats]
    """By release."""


def engine_stats(engines: Engines, pipeline: Pipeline, admission: Admission) -> EngineStats:
    """A snapshot, in any thread: each number is of its own moment."""
    return EngineStats(
        tokens=admission.tokens,
        bound=admission.bound,
        tokens_per_second=admission.tokens_per_second,
        rejected=admission.rejected,
        pipeline=pipeline.stats,
        caches={release: engine.cache.snapshot() for release, engine in engines.held.items()},
    )
