"""The table of scores, laid out as papers print it: a column a group, then the means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from bioelx_eval.bootstrap import LEVEL, RESAMPLES
from bioelx_eval.datasets import DATASETS
from bioelx_eval.report.files import Run
from bioelx_eval.scores import SUBSETS

REPORT_FILE = "report.md"
MEANS = ("macro", "micro")
NOTE = """\
Scores in percent. A candidate is right if its id or one of its xrefs is one of the row's gold \
ids. *In release*: rows of which the release holds a gold id; the others count as wrong. \
*Covered*: the rows that the dataset's fixed list names, or, where it has none, those in the \
release. *Mention unseen*: without the rows whose mention is, after normalisation, a name of its \
gold concept in the release or among the training names, where these were given. *macro*: each \
group weighs the same; *micro*: each row does."""
INTERVALS = f"In parentheses: {LEVEL:.0%} intervals from {RESAMPLES:,} bootstrap resamples."


def write_report(run: Run, more: Sequence[str] = ()) -> None:
    """Writes `report.md` beside the files of a run: what was measured on what, and the scores.

    Args:
        more: lines after these.
    """
    columns = _columns(run)
    lines = [f"# {title(run)}", "", summary(run), "", *markdown_head("", *columns)]
    for subset in SUBSETS:
        lines.append(markdown_row(f"**{subset.title}**", *([""] * len(columns))))
        lines += [markdown_row(*row) for row in _rows(run, subset.key)]
    write_markdown(run.folder / REPORT_FILE, [*lines, "", f"{NOTE} {INTERVALS}", *more])


def write_overview(runs: Sequence[Run], path: Path) -> None:
    """Writes one Markdown table of several runs, with a line for each subset of their rows."""
    metrics = list(dict.fromkeys(metric for run in runs for metric in _metrics(run)))
    lines = ["# Evaluation", ""]
    for run in runs:
        lines += [f"{title(run)}. {summary(run)}", ""]
    lines += markdown_head("dataset", "release", "over", "rows", "in release", *metrics, words=3)
    for run in runs:
        for subset in SUBSETS:
            macro, micro = (run.scores["scores"][subset.key][mean] for mean in MEANS)
            both = (f"{_value(macro, metric)} / {_value(micro, metric)}" for metric in metrics)
            lines.append(
                markdown_row(
                    title(run),
                    run.scores["knowledge_base"]["release"],
                    subset.title,
                    f"{micro['rows']:,}",
                    f"{micro['reachable']:,}",
                    *both,
                )
            )
    write_markdown(path, [*lines, "", f"{NOTE} Each score: macro / micro."])


def as_table(run: Run) -> Table:
    """The scores for a terminal."""
    table = new_table(title(run), _columns(run))
    for subset in SUBSETS:
        table.add_row(f"[bold]{subset.title}")
        for name, *cells in _rows(run, subset.key):
            table.add_row(f"  {name}", *cells)
    return table


def title(run: Run) -> str:
    """What the run's dataset is called."""
    return DATASETS[run.scores["dataset"]].title


def summary(run: Run) -> str:
    """One paragraph on the knowledge base behind the scores."""
    kb, options = run.scores["knowledge_base"], run.scores["options"]
    ranker = f" by {options['ranker']}" if options["ranker"] else ""
    return (
        f"Release {kb['release']}: {kb['concepts']:,} concepts, {kb['names']:,} names; "
        f"{kb['scheme_ids']:,} {kb['scheme']} ids, whose concepts have {kb['scheme_names']:,} "
        f"names. Encoder {kb['encoder']} ({kb['encoder_fingerprint']}), index {kb['index']}, "
        f"rerank {options['rerank']}{ranker}.{_skipped(run)}{_partial(run)}"
    )


def _skipped(run: Run) -> str:
    counts = [f"{n:,} because {reason}" for reason, n in run.scores["skipped"].items()]
    return f" Mentions skipped: {'; '.join(counts)}." if counts else ""


def _partial(run: Run) -> str:
    """Says where files hold more or fewer rows than those published: scores then mislead."""
    published = DATASETS[run.scores["dataset"]].groups
    differ = [
        f"{group} {score['rows']:,} of {published[group]:,}"
        for group, score in run.scores["scores"]["all"]["groups"].items()
        if published[group] not in (None, score["rows"])
    ]
    return f" Not the published rows: {', '.join(differ)}." if differ else ""


def _columns(run: Run) -> list[str]:
    return [*run.scores["scores"]["all"]["groups"], *MEANS]


def _metrics(run: Run) -> list[str]:
    return list(run.scores["scores"]["all"]["macro"]["metrics"])


def _rows(run: Run, subset: str) -> list[list[str]]:
    """The table's rows for a subset: a name, then a cell a column."""
    scores = run.scores["scores"][subset]
    groups, means = list(scores["groups"].values()), [scores[mean] for mean in MEANS]
    return [
        ["rows", *(str(score["rows"]) for score in (*groups, *means))],
        ["in release", *(str(score["reachable"]) for score in (*groups, *means))],
        *(
            [
                metric,
                *(_value(score, metric) for score in groups),
                *(_with_interval(score, metric) for score in means),
            ]
            for metric in _metrics(run)
        ),
    ]


def _value(score: dict[str, Any], metric: str) -> str:
    return percent(score["metrics"].get(metric, {}).get("value"))


def _with_interval(score: dict[str, Any], metric: str) -> str:
    estimate = score["metrics"][metric]
    if estimate["value"] is None:
        return percent(None)
    return f"{percent(estimate['value'])} ({percent(estimate['low'])}–{percent(estimate['high'])})"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def new_table(title: str, columns: Sequence[str]) -> Table:
    """A table for a terminal: names on the left, then columns of numbers."""
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("")
    for column in columns:
        table.add_column(column.replace(" ", "\n"), justify="right", no_wrap=True)
    return table


def markdown_row(*cells: str) -> str:
    return f"| {' | '.join(map(_in_a_cell, cells))} |"


def _in_a_cell(text: str) -> str:
    return " ".join(text.splitlines()).replace("|", r"\|")


def markdown_head(*names: str, words: int = 1) -> list[str]:
    """The first two lines of a table; the first `words` columns hold words, the others numbers."""
    rules = ["---"] * words + ["--:"] * (len(names) - words)
    return [markdown_row(*names), markdown_row(*rules)]


def write_markdown(path: Path, lines: Sequence[str]) -> None:
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
