"""What a training leaves to look at: its log, and the curves of loss and held-out names.

    python -m bioelx_index.train.history --training FOLDER

draws, of a training that is over or still at work, how many held-out names are found first after so
many names seen, and after so many hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import matplotlib
import orjson
import typer

matplotlib.use("agg")
from matplotlib import pyplot as plt

from bioelx.errors import BioelxError, FileError
from bioelx_index.train.heldout import FOUND
from bioelx_index.train.settings import CHECKPOINTS, SETTINGS_FILE

LOG_FILE, CURVE_FILE, LEARNING_FILE = "training.json", "training.png", "learning.png"
SECONDS = "seconds"
"""Key of a line of the log: what the training took up to it, without what kills have cost."""
NAMES = "names"
"""Key of a line of the log: the names seen up to it, by all processes."""
_STATE_FILE = "trainer_state.json"  # transformers', in each checkpoint
_JUDGED = f"eval_{FOUND}"


class Point(NamedTuple):
    """One look at the held-out names."""

    names: int
    """Seen by then, repeated ones too."""
    hours: float | None
    """Of training by then; None where the log has no times."""
    recall: float


def write_history(
    history: list[dict[str, Any]],
    out: Path,
    judged: str = _JUDGED,
    what: str = "held-out names found first, mean over languages",
) -> None:
    """Writes what the trainer logged, and a picture of it.

    Args:
        history: the trainer's own, one dictionary a line with `step` in each.
        judged: key of the score to draw beside the loss, and `what` it is.
    """
    (out / LOG_FILE).write_bytes(orjson.dumps(history, option=orjson.OPT_INDENT_2))
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    axes.plot(*_series(history, "loss"), color="tab:blue", label="loss")
    axes.set(xlabel="step", ylabel="loss")
    found = axes.twinx()
    found.plot(*_series(history, judged), "o-", color="tab:orange", label="held out")
    found.set(ylabel=what)
    found.set_ylim(bottom=min(0, found.get_ylim()[0]))
    figure.legend(loc="upper center", bbox_to_anchor=(0.5, 0.95), ncols=2)
    figure.savefig(out / CURVE_FILE, dpi=120)
    plt.close(figure)


def read_curve(training: Path, hours: float | None = None) -> list[Point]:
    """What was found of the held-out names, as the training went on.

    Args:
        training: its folder; one that is still at work is read from its last checkpoint.
        hours: that it took up to the last step logged, spread evenly over the steps: for a log
            without times.

    Raises:
        FileError: it holds no training, or one that has not looked at held-out names yet.
    """
    settings_file = training / SETTINGS_FILE
    try:
        batch = orjson.loads(settings_file.read_bytes())["batch"]
    except (OSError, orjson.JSONDecodeError, KeyError) as error:
        raise FileError(settings_file, f"not a training's settings ({error!r})") from None
    history = _read_log(training)
    judged = [line for line in history if _JUDGED in line]
    if not judged:
        raise FileError(training, "has not looked at held-out names yet (see judge_steps)")
    last = max(line["step"] for line in history)

    def taken(line: dict[str, Any]) -> float | None:
        if hours is not None:
            return hours * line["step"] / last
        return line[SECONDS] / 3600 if SECONDS in line else None

    return [
        Point(line.get(NAMES, line["step"] * batch), taken(line), line[_JUDGED]) for line in judged
    ]


def draw_curve(points: Sequence[Point], path: Path) -> None:
    """A picture of the curve over the names seen and, if they are known, over the hours."""
    over_names = [(point.names / 1e6, point.recall) for point in points]
    over_hours = [(point.hours, point.recall) for point in points if point.hours is not None]
    curves = [("million names seen", over_names), ("hours of training", over_hours)]
    drawn = [(what, curve) for what, curve in curves if curve]
    figure, all_axes = plt.subplots(
        1, len(drawn), figsize=(0.8 + 4.2 * len(drawn), 3.6), layout="constrained", sharey=True,
        squeeze=False,
    )  # fmt: skip
    for axes, (what, curve) in zip(all_axes[0], drawn, strict=True):
        axes.plot(*zip(*((x, 100 * y) for x, y in curve), strict=True), "o-", color="tab:orange")
        axes.set(xlabel=what)
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
    all_axes[0][0].set(ylabel="held-out names found first, %,\nmean over languages")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def last_checkpoint(training: Path) -> Path | None:
    """The last checkpoint that was written whole: its state is written last."""
    states = (training / CHECKPOINTS).glob(f"checkpoint-*/{_STATE_FILE}")
    return max((state.parent for state in states), key=step_of, default=None)


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _read_log(training: Path) -> list[dict[str, Any]]:
    checkpoint = last_checkpoint(training)
    path = checkpoint / _STATE_FILE if checkpoint else None
    if (training / LOG_FILE).exists():
        path = training / LOG_FILE
    if path is None:
        raise FileError(training, "has no log and no checkpoint yet")
    try:
        read = orjson.loads(path.read_bytes())
        return read if path.name == LOG_FILE else read["log_history"]
    except (OSError, orjson.JSONDecodeError, KeyError) as error:
        raise FileError(path, f"not a training's log ({error!r})") from None


def _series(history: list[dict[str, Any]], key: str) -> tuple[list[int], list[float]]:
    lines = [line for line in history if key in line]
    return [line["step"] for line in lines], [line[key] for line in lines]


def main(
    training: Annotated[Path, typer.Option(help="Folder of a training.")],
    out: Annotated[
        Path | None, typer.Option(help=f"Picture. Default: {LEARNING_FILE} in that folder.")
    ] = None,
    hours: Annotated[
        float | None,
        typer.Option(help="That it took, to be spread evenly: for a log without times."),
    ] = None,
) -> None:
    """Draw and print the learning curve of a training: held-out names over names and hours."""
    try:
        points = read_curve(training, hours)
    except BioelxError as error:
        raise SystemExit(f"error: {error}") from None
    draw_curve(points, out or training / LEARNING_FILE)
    typer.echo("| names seen | hours | held out R@1 |\n|--:|--:|--:|")
    for point in points:
        taken = "" if point.hours is None else f"{point.hours:.2f}"
        typer.echo(f"| {point.names:,} | {taken} | {100 * point.recall:.1f} |")


if __name__ == "__main__":
    typer.run(main)
