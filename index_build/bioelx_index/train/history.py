"""What a training leaves to look at: its log, and the curves of loss and held-out names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import orjson

matplotlib.use("agg")
from matplotlib import pyplot as plt

from bioelx_index.train.heldout import FOUND

LOG_FILE, CURVE_FILE = "training.json", "training.png"


def write_history(history: list[dict[str, Any]], out: Path) -> None:
    """Writes what the trainer logged, and a picture of it.

    Args:
        history: the trainer's own, one dictionary a line with `step` in each.
    """
    (out / LOG_FILE).write_bytes(orjson.dumps(history, option=orjson.OPT_INDENT_2))
    judged = f"eval_{FOUND}"
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    axes.plot(*_series(history, "loss"), color="tab:blue", label="loss")
    axes.set(xlabel="step", ylabel="loss")
    found = axes.twinx()
    found.plot(*_series(history, judged), "o-", color="tab:orange", label="held-out names, R@1")
    found.set(ylabel="held-out names found first, mean over languages", ylim=(0, 1))
    figure.legend(loc="upper center", bbox_to_anchor=(0.5, 0.95), ncols=2)
    figure.savefig(out / CURVE_FILE, dpi=120)
    plt.close(figure)


def _series(history: list[dict[str, Any]], key: str) -> tuple[list[int], list[float]]:
    lines = [line for line in history if key in line]
    return [line["step"] for line in lines], [line[key] for line in lines]
