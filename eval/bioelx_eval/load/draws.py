"""What is asked, and when: requests of some mentions, draws by Zipf's law, arrivals by chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bioelx.client import document, link_request
from bioelx.types import Query
from bioelx.v1 import linker_pb2 as pb
from bioelx_eval.speed.inside import TOP_K


def request_of(queries: Sequence[Query]) -> pb.LinkRequest:
    """A call that links these mentions, each in its document, by retrieval alone."""
    documents = [document(q.text, (q.start, q.end), language=q.language) for q in queries]
    return link_request(documents, top_k=TOP_K, rerank="never")


def requests_of(queries: Sequence[Query], size: int) -> list[pb.LinkRequest]:
    """Calls of `size` mentions each, the last of what is left."""
    return [request_of(queries[at : at + size]) for at in range(0, len(queries), size)]


def zipf_draws(
    draws: int, distinct: int, exponent: float, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Numbers below `distinct`, of which number n is drawn with a chance of 1 / (n + 1)^exponent,
    up to a constant."""
    chances = 1 / np.arange(1, distinct + 1, dtype=np.float64) ** exponent
    return rng.choice(distinct, draws, p=chances / chances.sum())


def arrivals(rate: float, seconds: float, rng: np.random.Generator) -> list[float]:
    """When calls come that know nothing of each other: seconds from the beginning, in order.

    A Poisson process of `rate` calls a second.
    """
    count = rng.poisson(rate * seconds)
    # Given their number, the arrivals of a Poisson process are spread evenly.
    return np.sort(rng.uniform(0, seconds, count)).tolist()
