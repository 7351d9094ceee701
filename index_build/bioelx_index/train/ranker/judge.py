"""How much a ranker adds to retrieval on mentions whose concepts it was never told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bioelx.confidence import share_out
from bioelx.ranking import Window
from bioelx.types import Candidate
from bioelx_index.train.ranker.lists import Choice, Lists

GAIN = "gain"
BEFORE, AFTER = "retrieval_recall_at_1", "recall_at_1"

LogOdds = Callable[[Window, Sequence[Candidate]], Sequence[float]]


def judge(lists: Lists, log_odds: LogOdds) -> dict[str, float]:
    """R@1 by retrieval alone and with the ranker, by kind of mention, over those of which a right
    candidate was found; their difference is the gain, and its mean over kinds stands beside."""
    before: dict[str, list[bool]] = {}
    after: dict[str, list[bool]] = {}
    for at in range(len(lists)):
        choice = lists[at]
        if any(choice.right):
            first = best(choice, log_odds(choice.window, choice.candidates))
            before.setdefault(choice.kind, []).append(choice.right[0])
            after.setdefault(choice.kind, []).append(choice.right[first])
    scores = {}
    for kind in sorted(before):
        key = kind.replace(" ", "_").replace("-", "_")
        scores[f"{key}_{BEFORE}"] = float(np.mean(before[kind]))
        scores[f"{key}_{AFTER}"] = float(np.mean(after[kind]))
    gains = [np.mean(after[kind]) - np.mean(before[kind]) for kind in before]
    scores[GAIN] = float(np.mean(gains)) if gains else 0.0
    return scores


def best(choice: Choice, log_odds: Sequence[float]) -> int:
    """The candidate that the linker would put first: both log-odds add up."""
    both = np.array(choice.priors) + np.array(log_odds)
    probabilities = share_out((1 / (1 + np.exp(-both))).tolist())
    return min(range(len(both)), key=lambda at: (-probabilities[at], at))
